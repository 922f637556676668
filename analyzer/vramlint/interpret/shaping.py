"""Element types, copies and shapes of tensors: casts, views, concatenation."""

from __future__ import annotations

from math import prod
from typing import TYPE_CHECKING, Any

from vramlint.interpret import shapes
from vramlint.interpret.values import NotUnderstood
from vramlint.memory.dtypes import (
    DType,
)
from vramlint.memory.operators import (
    convolution,
    elementwise,
    resampling,
    views,
)
from vramlint.memory.tape import Tensor

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence


_WITHOUT_HEADS = 3  # (B, T, H): only the math kernel takes it


def to(x: Tensor, *args: Any, dtype: Any = None, **_: Any) -> Tensor:
    """`x.to(…)`: only the element type matters; every tensor of the tape is on the GPU."""
    wanted = dtype or next((one for one in args if isinstance(one, DType)), None)
    if wanted is None:
        other = next((one for one in args if isinstance(one, Tensor)), None)
        wanted = other.dtype if other is not None else x.dtype
    return elementwise.cast(x, wanted) if isinstance(wanted, DType) else x


def cast_to(dtype: DType) -> Callable[..., Tensor]:
    """Return the cast to one element type: `x.float()`."""
    return lambda x, *_, **__: elementwise.cast(x, dtype)


def same(x: Any, *_: Any, **__: Any) -> Any:
    """An operation that changes nothing that memory notices."""
    return x


def detach(x: Tensor) -> Tensor:
    """`x.detach()`."""
    return x.detached()


def clone(x: Tensor, **_: Any) -> Tensor:
    """`x.clone()`: a copy in the order of x."""
    return x.tape.record(elementwise.empty_like(x), (x,), elementwise.pass_on)


def like(x: Tensor, *_: Any, dtype: Any = None, **__: Any) -> Tensor:
    """`torch.zeros_like` and its kind: a new tensor outside of the graph."""
    return elementwise.empty_like(x, dtype if isinstance(dtype, DType) else None)


def view(x: Tensor, *shape: Any) -> Tensor:
    """`x.view(…)`: never a copy."""
    if shape and isinstance(shape[0], DType):
        raise NotUnderstood("a view under another element type is not read")
    return views.reshape(x, shapes.completed(x, shapes.flat(shape)))


def reshape(x: Tensor, *shape: Any) -> Tensor:
    """`x.reshape(…)`."""
    return views.reshape(x, shapes.completed(x, shapes.flat(shape)))


def flatten(x: Tensor, start_dim: int = 0, end_dim: int = -1) -> Tensor:
    """`x.flatten(start, end)`."""
    if not x.shape:
        return views.reshape(x, (1,))
    first, last = start_dim % len(x.shape), end_dim % len(x.shape)
    merged = prod(x.shape[first : last + 1])
    return views.reshape(x, (*x.shape[:first], merged, *x.shape[last + 1 :]))


def unflatten(x: Tensor, dim: int, sizes: Sequence[int]) -> Tensor:
    """`x.unflatten(dim, sizes)`."""
    axis = dim % len(x.shape)
    whole = tuple(sizes)
    if -1 in whole:
        rest = -prod(whole)
        whole = tuple(x.shape[axis] // rest if size == -1 else size for size in whole)
    return views.reshape(x, (*x.shape[:axis], *whole, *x.shape[axis + 1 :]))


def transpose(x: Tensor, dim0: int, dim1: int) -> Tensor:
    """`x.transpose(a, b)`."""
    return views.transpose(x, dim0, dim1)


def t(x: Tensor) -> Tensor:
    """`x.t()`."""
    return views.transpose(x, 0, 1) if len(x.shape) > 1 else x


def permute(x: Tensor, *dims: Any) -> Tensor:
    """`x.permute(…)`."""
    return views.permute(x, shapes.flat(dims))


def movedim(x: Tensor, source: int, destination: int) -> Tensor:
    """`x.movedim(a, b)`."""
    order = [axis for axis in range(len(x.shape)) if axis != source % len(x.shape)]
    order.insert(destination % len(x.shape), source % len(x.shape))
    return views.permute(x, order)


def unsqueeze(x: Tensor, dim: int) -> Tensor:
    """`x.unsqueeze(dim)`."""
    axis = dim % (len(x.shape) + 1)
    return views.reshape(x, (*x.shape[:axis], 1, *x.shape[axis:]))


def squeeze(x: Tensor, dim: Any = None) -> Tensor:
    """`x.squeeze(dim)`."""
    axes = range(len(x.shape)) if dim is None else [one % len(x.shape) for one in shapes.flat((dim,))]
    shape = tuple(size for axis, size in enumerate(x.shape) if not (axis in axes and size == 1))
    return views.reshape(x, shape)


def expand(x: Tensor, *sizes: Any) -> Tensor:
    """`x.expand(…)`."""
    return views.expand(x, shapes.flat(sizes))


def expand_as(x: Tensor, other: Tensor) -> Tensor:
    """`x.expand_as(y)`."""
    return views.expand(x, other.shape)


def repeat(x: Tensor, *sizes: Any) -> Tensor:
    """`x.repeat(…)`: a copy; its gradient is summed over the repetitions."""
    times = shapes.flat(sizes)
    padded = (1,) * (len(times) - len(x.shape)) + x.shape
    shape = tuple(a * b for a, b in zip(padded, times, strict=True))
    return x.tape.record(x.tape.empty(shape, x.dtype), (x,), elementwise.summed_back)


def repeat_interleave(x: Tensor, repeats: int, dim: Any = None, **_: Any) -> Tensor:
    """`x.repeat_interleave(n, dim)`: a copy."""
    if dim is None:
        x, dim = flatten(x), 0
    axis = dim % len(x.shape)
    shape = (*x.shape[:axis], x.shape[axis] * repeats, *x.shape[axis + 1 :])
    return x.tape.record(x.tape.empty(shape, x.dtype), (x,), elementwise.summed_back)


def chunk(x: Tensor, chunks: int, dim: int = 0) -> tuple[Tensor, ...]:
    """`x.chunk(n, dim)`."""
    return split(x, -(-x.shape[dim] // chunks), dim)


def split(x: Tensor, split_size_or_sections: Any, dim: int = 0, **named: Any) -> tuple[Tensor, ...]:
    """`x.split(size, dim)`."""
    sizes = named.get("split_size", split_size_or_sections)
    if isinstance(sizes, int):
        whole, rest = divmod(x.shape[dim], sizes)
        sizes = [sizes] * whole + ([rest] if rest else [])
    if sum(sizes) != x.shape[dim]:
        raise ValueError(f"{x.shape[dim]} places are split into {sizes}")
    return tuple(views.split(x, sizes, dim))


def unbind(x: Tensor, dim: int = 0) -> tuple[Tensor, ...]:
    """`x.unbind(dim)`."""
    return tuple(views.unbind(x, dim))


def narrow(x: Tensor, dim: int, start: Any, length: int) -> Tensor:
    """`x.narrow(dim, start, length)`."""
    del start
    return views.narrow(x, dim % len(x.shape), length)


def select(x: Tensor, dim: int, index: Any) -> Tensor:
    """`x.select(dim, index)`."""
    del index
    return views.select(x, dim)


def unfold(x: Tensor, *args: Any, **kwargs: Any) -> Tensor:
    """`x.unfold(dim, size, step)`, or `F.unfold(x, kernel, …)`, which copies."""
    if len(x.shape) == 4 and "kernel_size" in kwargs or (args and not isinstance(args[0], int)):  # noqa: PLR2004, RUF021  images
        return _columns(x, *args, **kwargs)
    if len(args) == 3:  # noqa: PLR2004  dimension, size, step
        return views.unfold(x, *args)
    return _columns(x, *args, **kwargs)


def _columns(x: Tensor, kernel_size: Any, dilation: Any = 1, padding: Any = 0, stride: Any = 1) -> Tensor:
    kernel, spread, pad, step = (shapes.pair(one) for one in (kernel_size, dilation, padding, stride))
    places = prod(
        convolution.output_length(size, *window)
        for size, *window in zip(x.shape[2:], kernel, step, pad, spread, strict=True)
    )
    return resampling.resized(x, (x.shape[0], x.shape[1] * prod(kernel), places))


def cat(tensors: Sequence[Tensor], dim: int = 0, **named: Any) -> Tensor:
    """`torch.cat`."""
    axis = named.get("axis", dim) % len(tensors[0].shape)
    for one in tensors:
        if one.shape[:axis] + one.shape[axis + 1 :] != tensors[0].shape[:axis] + tensors[0].shape[axis + 1 :]:
            raise ValueError(f"{list(tensors[0].shape)} and {list(one.shape)} are put together")
    return elementwise.concatenate(tensors, axis)


def stack(tensors: Sequence[Tensor], dim: int = 0) -> Tensor:
    """`torch.stack`: as `cat` of tensors with one dimension more."""
    axis = dim % (len(tensors[0].shape) + 1)
    return elementwise.concatenate([unsqueeze(one, axis) for one in tensors], axis)


def roll(x: Tensor, *_: Any, **__: Any) -> Tensor:
    """`torch.roll`, `torch.flip`: a copy, and another one backwards."""
    return resampling.resized(x, x.shape)


def size(x: Tensor, dim: Any = None) -> Any:
    """`x.size()`."""
    return tuple(x.shape) if dim is None else x.shape[dim]


def numel(x: Tensor) -> int:
    """`x.numel()`."""
    return prod(x.shape)


def dimensions(x: Tensor) -> int:
    """`x.dim()`."""
    return len(x.shape)


def is_floating_point(x: Tensor) -> bool:
    """`x.is_floating_point()`."""
    return x.dtype.floating


def is_contiguous(x: Tensor, **_: Any) -> bool:
    """`x.is_contiguous()`."""
    return x.contiguous
