"""Python's operators on plain values and on tensors."""

from __future__ import annotations

import ast
import operator
from typing import TYPE_CHECKING, Any

from vramlint.interpret.modules import Container
from vramlint.interpret.values import Data, Library, NotUnderstood, Object, Record, Unread, UserClass
from vramlint.memory.dtypes import BOOL
from vramlint.memory.modules import Buffer, Module, Parameter
from vramlint.memory.operators import elementwise
from vramlint.memory.operators.products import broadcast, matmul
from vramlint.memory.operators.views import unbind
from vramlint.memory.tape import Tensor

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from vramlint.interpret.interpreter import Interpreter

LONGEST = 1_000_000
_LARGEST_EXPONENT = 64
_ARITHMETIC: dict[type[ast.operator], Callable[[Any, Any], Any]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.FloorDiv: operator.floordiv,
    ast.Mod: operator.mod,
    ast.Pow: operator.pow,
    ast.BitOr: operator.or_,
    ast.BitAnd: operator.and_,
    ast.BitXor: operator.xor,
    ast.LShift: operator.lshift,
    ast.RShift: operator.rshift,
}
_COMPARISONS: dict[type[ast.cmpop], Callable[[Any, Any], Any]] = {
    ast.Eq: operator.eq,
    ast.NotEq: operator.ne,
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
    ast.Is: operator.is_,
    ast.IsNot: operator.is_not,
    ast.In: lambda a, b: a in b,
    ast.NotIn: lambda a, b: a not in b,
}
_TENSORS = (Tensor, Parameter, Buffer, Data)


def truth(interpreter: Interpreter, value: Any) -> bool | None:
    """Return whether a value counts as true, None where only a run can tell."""
    del interpreter
    if isinstance(value, Unread | Tensor):
        return None
    if isinstance(value, Container):
        return bool(value.parts)
    if isinstance(value, Module | Object | UserClass | Library | Parameter | Buffer):
        return True
    return bool(value)


def iterated(interpreter: Interpreter, value: Any) -> Iterable[Any]:
    """Return what iterating over a value gives."""
    if isinstance(value, Container):
        return list(value.parts) if value.kind == "ModuleDict" else value.listed
    if isinstance(value, Tensor | Parameter | Buffer):
        return unbind(interpreter.tensor(value), 0)
    if isinstance(value, Unread):
        raise NotUnderstood(value.reason)
    if isinstance(value, Record):
        return list(value.attributes.values())
    if isinstance(value, list | tuple | dict | range | set | str) or hasattr(value, "__next__"):
        if isinstance(value, range) and len(value) > LONGEST:
            raise NotUnderstood("a loop is too long to follow")
        return _each(value)
    if hasattr(value, "__iter__"):
        return _each(value)
    raise TypeError(f"a {type(value).__name__} is iterated over")


def _each(value: Iterable[Any]) -> Iterator[Any]:
    yield from value


def binary(interpreter: Interpreter, kind: type[ast.operator], left: Any, right: Any) -> Any:
    """Return `left op right`."""
    if isinstance(left, _TENSORS) or isinstance(right, _TENSORS):
        return _on_tensors(interpreter, kind, left, right)
    for side in (left, right):
        if isinstance(side, Unread):
            return Unread(side.reason)
    _refuse_huge(kind, left, right)
    return _ARITHMETIC[kind](left, right)


def _refuse_huge(kind: type[ast.operator], left: Any, right: Any) -> None:
    if kind in {ast.Pow, ast.LShift} and isinstance(right, int) and abs(right) > _LARGEST_EXPONENT:
        raise NotUnderstood("a power is too large to follow")
    if kind is ast.Mult:
        for sequence, times in ((left, right), (right, left)):
            is_long = isinstance(sequence, list | tuple | str) and isinstance(times, int)
            if is_long and len(sequence) * times > LONGEST:
                raise NotUnderstood("a list is too long to follow")


def _on_tensors(interpreter: Interpreter, kind: type[ast.operator], left: Any, right: Any) -> Any:  # noqa: PLR0911  one early return for each
    a, b = operands(interpreter, left, right)
    if kind is ast.MatMult:
        return matmul(a, b)
    if isinstance(a, Tensor) and isinstance(b, Tensor):
        broadcast(a.shape, b.shape)
    if kind is ast.Add:
        return a + b
    if kind is ast.Mult:
        return a * b
    if kind is ast.Sub:
        return _difference(a, b)
    if kind is ast.Div:
        return divided(a, b)
    if kind is ast.Pow:
        return elementwise.power(a if isinstance(a, Tensor) else b)
    return without_gradient(a, b)


def operands(interpreter: Interpreter, left: Any, right: Any) -> tuple[Any, Any]:
    """Return two operands as tensors or numbers; one of the batch takes the shape of the other where it has none."""
    if isinstance(left, Data) and left.tensor is None and not isinstance(right, Unread):
        b = interpreter.tensor(right)
        return interpreter.tensor(left, b if isinstance(b, Tensor) else None), b
    a = interpreter.tensor(left)
    return a, interpreter.tensor(right, a if isinstance(a, Tensor) else None)


def _difference(a: Any, b: Any) -> Any:
    if isinstance(a, Tensor) and isinstance(b, Tensor):
        return elementwise.subtract(a, b)
    return a + b if isinstance(a, Tensor) else elementwise.negate(b)


def divided(a: Any, b: Any) -> Any:
    """`a / b`: as a product, but a number over a tensor saves its result."""
    if isinstance(a, Tensor):
        return a * b
    return elementwise.unary_saving_result(b)


def without_gradient(a: Any, b: Any = None, dtype: Any = None) -> Tensor:
    """An operator whose result has no gradient: `//`, `%`, comparisons, `&`, `|`."""
    x = a if isinstance(a, Tensor) else b
    shape = broadcast(a.shape, b.shape) if isinstance(a, Tensor) and isinstance(b, Tensor) else x.shape
    made: Tensor = x.tape.empty(shape, dtype or x.dtype)
    return made


def augmented(interpreter: Interpreter, kind: ast.operator, left: Any, right: Any) -> Any:
    """Return what `left op= right` leaves: a list grows, a tensor is written into."""
    if isinstance(left, list) and isinstance(kind, ast.Add):
        left.extend(iterated(interpreter, right))
        return left
    if not isinstance(left, Tensor):
        return binary(interpreter, type(kind), left, right)
    other = interpreter.tensor(right, left)
    if isinstance(kind, ast.Add | ast.Sub):
        return elementwise.add_inplace(left, other) if isinstance(other, Tensor) else in_place(left)
    if isinstance(kind, ast.Mult | ast.Div):
        return _scaled_in_place(left, other)
    return in_place(left)


def in_place(x: Tensor) -> Tensor:
    """An operator that writes into its input and saves nothing: `x.add_(1)`, `x.mul_(2)`, `x.div_(2)`."""
    return elementwise.written(x)


def _scaled_in_place(x: Tensor, other: Any) -> Tensor:
    if not isinstance(other, Tensor):
        return in_place(x)
    product = elementwise.multiply(x.detached() if x.node is None else x, other)
    return product if x.node is not None or other.node is not None else in_place(x)


def unary(interpreter: Interpreter, kind: type[ast.unaryop], value: Any) -> Any:
    """Return `op value`."""
    if kind is ast.Not:
        known = truth(interpreter, value)
        return Unread("a test depends on the run") if known is None else not known
    if isinstance(value, _TENSORS):
        x = interpreter.tensor(value)
        return elementwise.negate(x) if kind is ast.USub else without_gradient(x)
    if isinstance(value, Unread):
        return Unread(value.reason)
    if kind is ast.USub:
        return -value
    return +value if kind is ast.UAdd else ~value


def compare(interpreter: Interpreter, kind: type[ast.cmpop], left: Any, right: Any) -> Any:  # noqa: PLR0911  one early return for each
    """Return `left op right`."""
    if kind in {ast.Is, ast.IsNot} and (left is None or right is None):
        other = right if left is None else left
        if isinstance(other, Unread) and not isinstance(other, Data):
            return Unread(other.reason)
        return (other is None) == (kind is ast.Is)
    if kind in {ast.In, ast.NotIn}:
        return _contained(interpreter, kind, left, right)
    if isinstance(left, _TENSORS) or isinstance(right, _TENSORS):
        if left is None or right is None or kind in {ast.Is, ast.IsNot}:
            return (left is right) == (kind in {ast.Is, ast.Eq})
        a, b = operands(interpreter, left, right)
        return without_gradient(a, b, BOOL)
    for side in (left, right):
        if isinstance(side, Unread):
            return Unread(side.reason)
    return _COMPARISONS[kind](left, right)


def _contained(interpreter: Interpreter, kind: type[ast.cmpop], left: Any, right: Any) -> Any:
    if isinstance(left, Unread) or isinstance(right, Unread):
        return Unread("a test depends on the run")
    holder = right.parts if isinstance(right, Container) else right
    if not isinstance(holder, list | tuple | dict | set | range | str):
        holder = list(iterated(interpreter, holder))
    return _COMPARISONS[kind](left, holder)
