"""Operations on each element: activations, arithmetic, comparisons, dropout."""

from __future__ import annotations

from typing import Any

from vramlint.interpret.values import NotUnderstood
from vramlint.memory.dtypes import (
    BOOL,
    FLOAT32,
    promoted,
)
from vramlint.memory.operators import (
    elementwise,
)
from vramlint.memory.operators.activations import silu
from vramlint.memory.operators.products import broadcast
from vramlint.memory.tape import Tensor

_WITHOUT_HEADS = 3  # (B, T, H): only the math kernel takes it


def keeps_input(x: Tensor, *_: Any, inplace: bool = False, **__: Any) -> Tensor:
    """An operator that saves its input."""
    return elementwise.unary_inplace(x) if inplace else elementwise.unary(x)


def keeps_result(x: Tensor, *_: Any, inplace: bool = False, **__: Any) -> Tensor:
    """An operator that saves its output."""
    return elementwise.unary_inplace(x) if inplace else elementwise.unary_saving_result(x)


def keeps_fp32_result(x: Tensor, *_: Any, **__: Any) -> Tensor:
    """An operator on autocast's fp32 list that saves its output: exp, rsqrt."""
    return elementwise.unary_saving_result(elementwise.autocast_fp32(x))


def keeps_fp32_input(x: Tensor, *_: Any, **__: Any) -> Tensor:
    """An operator on autocast's fp32 list that saves its input: log, acos."""
    return elementwise.unary(elementwise.autocast_fp32(x))


def keeps_nothing(x: Tensor, *_: Any, **__: Any) -> Tensor:
    """An operator with a gradient that needs nothing saved."""
    return elementwise.negate(x)


def no_gradient(x: Tensor, *_: Any, **__: Any) -> Tensor:
    """An operator whose result has no gradient."""
    return elementwise.empty_like(x.detached())


def truth_values(x: Tensor, *others: Any, **_: Any) -> Tensor:
    """A comparison."""
    shape = x.shape
    for other in others:
        if isinstance(other, Tensor):
            shape = broadcast(shape, other.shape)
    return x.tape.empty(shape, BOOL)


def sigmoid_linear(x: Tensor, inplace: bool = False) -> Tensor:  # noqa: FBT001, FBT002  as in torch
    """`F.silu`."""
    del inplace
    return silu(x)


def softplus_like(x: Tensor, *_: Any, **__: Any) -> Tensor:
    """`F.logsigmoid`, `F.softplus`: save their input."""
    return elementwise.unary(x)


def relu(x: Tensor, inplace: bool = False) -> Tensor:  # noqa: FBT001, FBT002  as in torch
    """`F.relu`."""
    return elementwise.unary_inplace(x) if inplace else elementwise.unary_saving_result(x)


def leaky_relu(x: Tensor, negative_slope: float = 0.01, inplace: bool = False) -> Tensor:  # noqa: FBT001, FBT002  as in torch
    """`F.leaky_relu`."""
    del negative_slope
    return keeps_input(x, inplace=inplace)


def dropout(x: Tensor, p: float = 0.5, training: Any = True, inplace: bool = False) -> Tensor:  # noqa: FBT001, FBT002  as in torch
    """`F.dropout`."""
    if training is False:
        return x
    return elementwise.dropout_inplace(x, float(p)) if inplace else elementwise.dropout(x, float(p))


def feature_dropout(x: Tensor, p: float = 0.5, training: Any = True, inplace: bool = False) -> Tensor:  # noqa: FBT001, FBT002  as in torch
    """`F.dropout2d`: noise of one number per channel, by which x is multiplied."""
    del inplace
    if training is False or p == 0:
        return x
    noise = x.tape.empty((*x.shape[:2], *(1 for _ in x.shape[2:])), x.dtype)
    return elementwise.multiply(x, noise)


def power(x: Any, exponent: Any = 2) -> Tensor:
    """`x.pow(n)`."""
    if not isinstance(x, Tensor):
        return elementwise.unary_saving_result(elementwise.autocast_fp32(exponent))
    return elementwise.power(x)


def add(x: Any, other: Any, *_: Any, alpha: float = 1, **__: Any) -> Tensor:
    """`torch.add`."""
    del alpha
    return x + other  # type: ignore[no-any-return]


def subtract(x: Any, other: Any, **_: Any) -> Tensor:
    """`torch.sub`."""
    if isinstance(x, Tensor) and isinstance(other, Tensor):
        return elementwise.subtract(x, other)
    return x + other if isinstance(x, Tensor) else elementwise.negate(other)


def multiply(x: Any, other: Any) -> Tensor:
    """`torch.mul`, `torch.div`."""
    return x * other  # type: ignore[no-any-return]


def divide(x: Any, other: Any, rounding_mode: Any = None) -> Tensor:
    """`torch.div`."""
    if rounding_mode is not None:
        return no_gradient(x)
    return x * other if isinstance(x, Tensor) else elementwise.unary_saving_result(other)


def add_inplace(x: Tensor, other: Any, *_: Any, **__: Any) -> Tensor:
    """`x.add_(y)`."""
    return elementwise.add_inplace(x, other) if isinstance(other, Tensor) else elementwise.written(x)


def multiply_inplace(x: Tensor, other: Any) -> Tensor:
    """`x.mul_(y)`."""
    if isinstance(other, Tensor) and (x.node is not None or other.node is not None):
        return elementwise.multiply(x, other)
    return elementwise.written(x)


def fill(x: Tensor, *_: Any, **__: Any) -> Tensor:
    """`x.zero_()`, `x.normal_()`, `x.copy_()`: writes into x."""
    return x


def addcmul(x: Tensor, first: Tensor, second: Tensor, **_: Any) -> Tensor:
    """`torch.addcmul(x, a, b)`."""
    return x + first * second


def lerp(x: Tensor, end: Tensor, weight: Any) -> Tensor:
    """`torch.lerp(x, y, w)`."""
    return x + elementwise.subtract(end, x) * weight  # type: ignore[no-any-return]


def masked_fill(x: Tensor, mask: Tensor, value: Any = None) -> Tensor:
    """`x.masked_fill(mask, value)`."""
    del value
    broadcast(x.shape, mask.shape)
    return elementwise.masked_fill(x, mask)


def masked_fill_inplace(x: Tensor, mask: Tensor, value: Any = None) -> Tensor:
    """`x.masked_fill_(mask, value)`: saves the mask."""
    del value
    return x.tape.record(x.detached(), (x,), elementwise.scale, (mask,))


def where(mask: Tensor, a: Any = None, b: Any = None) -> Tensor:
    """`torch.where`."""
    if a is None:
        raise NotUnderstood("how many elements `torch.where` finds depends on the data")
    if isinstance(a, Tensor) and isinstance(b, Tensor):
        return elementwise.where(mask, a, b)
    tensor = a if isinstance(a, Tensor) else b
    if not isinstance(tensor, Tensor):
        return mask.tape.empty(mask.shape, FLOAT32)
    return elementwise.masked_fill(tensor, mask)


def triangle(x: Tensor, *_: Any, **__: Any) -> Tensor:
    """`torch.tril`, `torch.triu`: a new tensor; its gradient is one more."""
    return elementwise.negate(x)


def extreme(x: Tensor, other: Tensor) -> Tensor:
    """`torch.maximum`, `torch.minimum`: save both."""
    out = x.tape.empty(broadcast(x.shape, other.shape), promoted(x.dtype, other.dtype))
    return x.tape.record(out, (x, other), elementwise.both_like, (x, other))
