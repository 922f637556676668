"""Windows over any number of axes, padding and interpolation: pooling of one, two and three dimensions."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vramlint.memory.dtypes import INT64
from vramlint.memory.operators.convolution import output_length
from vramlint.memory.operators.pooling import whole_gradient

if TYPE_CHECKING:
    from collections.abc import Sequence

    from vramlint.memory.tape import Shape, Tensor


def _pooled(
    x: Tensor,
    kernel: Sequence[int],
    stride: Sequence[int],
    padding: Sequence[int],
    dilation: Sequence[int],
    *,
    ceil: bool,
) -> Shape:
    axes = len(kernel)
    windows = zip(x.shape[-axes:], kernel, stride, padding, dilation, strict=True)
    return (*x.shape[:-axes], *(output_length(*window, ceil=ceil) for window in windows))


def max_pool(
    x: Tensor,
    kernel: Sequence[int],
    stride: Sequence[int],
    padding: Sequence[int],
    dilation: Sequence[int],
    *,
    ceil: bool = False,
) -> Tensor:
    """`F.max_pool1d`, `2d`, `3d`: saves its input and, as 64-bit integers, where each maximum was."""
    shape = _pooled(x, kernel, stride, padding, dilation, ceil=ceil)
    out = x.tape.empty(shape, x.dtype)
    places = x.tape.empty(shape, INT64)
    return x.tape.record(out, (x,), whole_gradient, (x, places))


def average_pool(
    x: Tensor, kernel: Sequence[int], stride: Sequence[int], padding: Sequence[int], *, ceil: bool = False
) -> Tensor:
    """`F.avg_pool1d`, `2d`, `3d`: saves its input."""
    shape = _pooled(x, kernel, stride, padding, (1,) * len(kernel), ceil=ceil)
    return x.tape.record(x.tape.empty(shape, x.dtype), (x,), whole_gradient, (x,))


def adaptive_pool(x: Tensor, size: Sequence[int], *, largest: bool = False) -> Tensor:
    """`F.adaptive_avg_pool2d` and its like: saves its input; a mean over everything saves nothing."""
    shape = (*x.shape[: -len(size)], *size)
    out = x.tape.empty(shape, x.dtype)
    if largest:
        return x.tape.record(out, (x,), whole_gradient, (x, x.tape.empty(shape, INT64)))
    return x.tape.record(out, (x,), whole_gradient, () if set(size) == {1} else (x,))


def resized(x: Tensor, shape: Shape, *, saves_input: bool = False) -> Tensor:
    """`F.interpolate`, `F.pad`, `pixel_shuffle`: another size, and back again; reflection saves its input."""
    out = x.tape.empty(shape, x.dtype)
    return x.tape.record(out, (x,), whole_gradient, (x,) if saves_input else ())
