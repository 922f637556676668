"""What operators and the simple built-in functions give for plain values, within bounds."""

from __future__ import annotations

import ast
import operator
import posixpath
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

LARGEST_EXPONENT = 64
LONGEST_TEXT = 2_000
# Settings are sizes and counts; a number beyond this is no setting and would only cost time.
LARGEST_NUMBER = 2**200


class NotComputedError(Exception):
    """The operation is outside what is computed: a wrong type, a division by zero, a huge result."""


_BINARY: dict[type[ast.operator], Callable[[Any, Any], Any]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.FloorDiv: operator.floordiv,
    ast.Mod: operator.mod,
    ast.Pow: operator.pow,
    ast.LShift: operator.lshift,
    ast.RShift: operator.rshift,
    ast.BitOr: operator.or_,
    ast.BitAnd: operator.and_,
    ast.BitXor: operator.xor,
}
_UNARY: dict[type[ast.unaryop], Callable[[Any], Any]] = {
    ast.USub: operator.neg,
    ast.UAdd: operator.pos,
    ast.Not: operator.not_,
    ast.Invert: operator.invert,
}
_COMPARE: dict[type[ast.cmpop], Callable[[Any, Any], Any]] = {
    ast.Eq: operator.eq,
    ast.NotEq: operator.ne,
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
    ast.Is: operator.is_,
    ast.IsNot: operator.is_not,
}
FUNCTIONS: dict[str, Callable[..., Any]] = {
    "int": int,
    "float": float,
    "str": str,
    "bool": bool,
    "abs": abs,
    "round": round,
    "min": min,
    "max": max,
}
TEXT_METHODS = frozenset({
    "lower", "upper", "strip", "lstrip", "rstrip", "replace", "format", "removeprefix", "removesuffix",
    "startswith", "endswith", "title", "capitalize",
})  # fmt: skip


def binary(kind: type[ast.operator], left: object, right: object) -> Any:
    """Return `left` op `right` for numbers, and for text joined by `+`."""
    both_text = isinstance(left, str) and isinstance(right, str)
    if both_text and kind is ast.Div:  # of paths, which are texts here
        return bounded(posixpath.join, left, right)
    if both_text and kind is not ast.Add:
        raise NotComputedError
    if not both_text and not (isinstance(left, int | float) and isinstance(right, int | float)):
        raise NotComputedError
    if kind in {ast.Pow, ast.LShift} and (isinstance(right, str) or abs(right) > LARGEST_EXPONENT):  # type: ignore[arg-type]
        raise NotComputedError
    return bounded(_BINARY.get(kind, _none), left, right)


def unary(kind: type[ast.unaryop], value: object) -> Any:
    """Return op `value`."""
    return bounded(_UNARY[kind], value)


def compare(kind: type[ast.cmpop], left: object, right: object) -> Any:
    """Return whether `left` and `right` compare so; identity is asked only of None and booleans."""
    if kind in {ast.Is, ast.IsNot} and not (left is None or right is None or isinstance(right, bool)):
        raise NotComputedError
    return bounded(_COMPARE.get(kind, _none), left, right)


def bounded(function: Callable[..., Any], *arguments: object) -> Any:
    """Call a function of plain values; anything it cannot do, and any huge result, is not computed."""
    try:
        result = function(*arguments)
    except (TypeError, ValueError, ArithmeticError, LookupError, AttributeError) as error:
        raise NotComputedError from error
    if isinstance(result, complex) or (isinstance(result, str) and len(result) > LONGEST_TEXT):
        raise NotComputedError
    if isinstance(result, int) and abs(result) > LARGEST_NUMBER:
        raise NotComputedError
    return result


def _none(_left: object, _right: object) -> Any:
    raise NotComputedError
