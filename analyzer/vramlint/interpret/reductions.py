"""Operations that reduce dimensions: sums, norms, maxima, sorting."""

from __future__ import annotations

from typing import Any

from vramlint.interpret import pointwise, shapes
from vramlint.interpret.values import Unread
from vramlint.memory.dtypes import (
    BOOL,
    INT64,
)
from vramlint.memory.operators import (
    elementwise,
    views,
)
from vramlint.memory.operators.pooling import mean_over
from vramlint.memory.tape import Tensor

_WITHOUT_HEADS = 3  # (B, T, H): only the math kernel takes it


def _axes(x: Tensor, dim: Any) -> tuple[int, ...]:
    return tuple(one % len(x.shape) for one in shapes.flat((dim,)))


def _reduced(x: Tensor, dim: Any, *, keepdim: bool) -> tuple[int, ...]:
    axes = range(len(x.shape)) if dim is None else _axes(x, dim)
    if keepdim:
        return tuple(1 if axis in axes else size for axis, size in enumerate(x.shape))
    return tuple(size for axis, size in enumerate(x.shape) if axis not in axes)


def mean(x: Tensor, dim: Any = None, keepdim: bool = False, **named: Any) -> Tensor:  # noqa: FBT001, FBT002  as in torch
    """`x.mean(dim)`, `x.sum(dim)`."""
    dim = named.get("axis", dim)
    if dim is None:
        return elementwise.total(x)
    out = mean_over(x, *_axes(x, dim))
    return views.reshape(out, _reduced(x, dim, keepdim=True)) if keepdim else out


def add_up(x: Tensor, dim: Any = None, keepdim: bool = False, **named: Any) -> Tensor:  # noqa: FBT001, FBT002  as in torch
    """`x.sum(dim)`: its gradient is expanded, not copied."""
    x = elementwise.autocast_fp32(x)
    axes = named.get("axis", dim)
    shape = _reduced(x, axes, keepdim=keepdim) if axes is not None else ()
    dtype = x.dtype if x.dtype.floating else INT64
    out = x.tape.empty(shape, dtype)
    return x.tape.record(out, (x,), elementwise.expanded_back, (), _reduced(x, axes, keepdim=True))


def norm(x: Tensor, p: Any = 2, dim: Any = None, keepdim: bool = False, **_: Any) -> Tensor:  # noqa: FBT001, FBT002  as in torch
    """`x.norm(…)`: saves x and the result."""
    del p
    out = x.tape.empty(_reduced(x, dim, keepdim=keepdim) if dim is not None else (), x.dtype)
    return x.tape.record(out, (x,), elementwise.filled_back, (x, out.detached()))


def spread(x: Tensor, dim: Any = None, *_: Any, keepdim: bool = False, **__: Any) -> Tensor:
    """`x.var(dim)`, `x.std(dim)`: save x, and std its result."""
    out = x.tape.empty(_reduced(x, dim, keepdim=keepdim) if dim is not None else (), x.dtype)
    return x.tape.record(out, (x,), elementwise.filled_back, (x, out.detached()))


def largest(x: Tensor, dim: Any = None, keepdim: bool = False, **_: Any) -> Any:  # noqa: FBT001, FBT002  as in torch
    """`x.max(dim)`: values and indices, of which the latter are saved; without dim, one value."""
    if isinstance(dim, Tensor):
        return pointwise.extreme(x, dim)
    if dim is None:
        out = x.tape.empty((), x.dtype)
        return x.tape.record(out, (x,), elementwise.filled_back, (x, out.detached()))
    shape = _reduced(x, dim, keepdim=keepdim)
    indices = x.tape.empty(shape, INT64)
    values = x.tape.record(x.tape.empty(shape, x.dtype), (x,), elementwise.filled_back, (indices,))
    return shapes.Pair((values, indices))


def largest_values(x: Tensor, dim: Any = None, keepdim: bool = False) -> Tensor:  # noqa: FBT001, FBT002  as in torch
    """`x.amax(dim)`: saves x and the result."""
    out = x.tape.empty(_reduced(x, dim, keepdim=keepdim), x.dtype)
    return x.tape.record(out, (x,), elementwise.filled_back, (x, out.detached()))


def argmax(x: Tensor, dim: Any = None, keepdim: bool = False) -> Tensor:  # noqa: FBT001, FBT002  as in torch
    """`x.argmax(dim)`."""
    return x.tape.empty(_reduced(x, dim, keepdim=keepdim) if dim is not None else (), INT64)


def any_of(x: Tensor, dim: Any = None, **_: Any) -> Tensor:
    """`x.any()`, `x.all()`."""
    return x.tape.empty(_reduced(x, dim, keepdim=False) if dim is not None else (), BOOL)


def topk(x: Tensor, k: int, dim: int = -1, **_: Any) -> Any:
    """`x.topk(k)`: values and indices; the indices are saved."""
    axis = dim % len(x.shape)
    shape = (*x.shape[:axis], k, *x.shape[axis + 1 :])
    indices = x.tape.empty(shape, INT64)
    values = x.tape.record(x.tape.empty(shape, x.dtype), (x,), elementwise.filled_back, (indices,))
    return shapes.Pair((values, indices))


def sort(x: Tensor, dim: int = -1, **_: Any) -> Any:
    """`x.sort()`: as `topk` of everything."""
    return topk(x, x.shape[dim], dim)


def cumulative(x: Tensor, dim: Any = 0, **_: Any) -> Tensor:
    """`x.cumsum(dim)`: saves nothing."""
    del dim
    return elementwise.negate(x)


def log_sum_exp(x: Tensor, dim: Any, keepdim: bool = False) -> Tensor:  # noqa: FBT001, FBT002  as in torch
    """`torch.logsumexp`: saves x and the result."""
    return norm(x, 2, dim, keepdim)


def item(x: Tensor) -> Unread:
    """`x.item()`: a number that only the run knows."""
    del x
    return Unread("a number that is read from a tensor is known only at run time")
