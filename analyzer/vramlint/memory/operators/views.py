"""Views with their strides: what shares memory, and what has to be copied to be seen otherwise.

Unlike `Tensor.view`, which families use where nothing is ever copied, these keep account of strides, so that
`reshape` and `contiguous` copy exactly where torch does, forwards and backwards (aten/src/ATen/TensorUtils.cpp,
computeStride; torch/csrc/autograd/FunctionsManual.cpp).
"""

from __future__ import annotations

from math import prod
from typing import TYPE_CHECKING

from vramlint.memory.tape import Tensor

if TYPE_CHECKING:
    from collections.abc import Sequence

    from vramlint.memory.tape import Backward, Gradients, Node, Shape


def default_strides(shape: Shape) -> Shape:
    """Return the strides of a contiguous tensor."""
    strides, step = [], 1
    for size in reversed(shape):
        strides.append(step)
        step *= max(size, 1)
    return tuple(reversed(strides))


def strides_of(x: Tensor) -> Shape:
    """Return a tensor's strides, those of a contiguous one where nobody kept account."""
    return x.strides if x.strides is not None else default_strides(x.shape)


def aliased(x: Tensor, shape: Shape, strides: Shape) -> Tensor:
    """Return x's storage under another shape, outside of the graph."""
    normal = default_strides(shape)
    whole = all(size == 1 or a == b for size, a, b in zip(shape, strides, normal, strict=True))
    out = Tensor(shape, x.dtype, x.storage, contiguous=whole)
    if not whole:
        out.strides = strides
    return out


def _recorded(x: Tensor, shape: Shape, strides: Shape, backward: Backward, extra: object = None) -> Tensor:
    return x.tape.record(aliased(x, shape, strides), (x,), backward, (), extra)


def strides_as(shape: Shape, strides: Shape, wanted: Shape) -> Shape | None:
    """Return the strides under which a view has another shape, None where only a copy has it (computeStride)."""
    if prod(shape) == 0:
        return default_strides(wanted)
    found = [0] * len(wanted)
    at = len(wanted) - 1
    base = strides[-1] if strides else 1
    chunk, seen = 1, 1
    for axis in range(len(shape) - 1, -1, -1):
        chunk *= shape[axis]
        if axis == 0 or (shape[axis - 1] != 1 and strides[axis - 1] != chunk * base):
            while at >= 0 and (seen < chunk or wanted[at] == 1):
                found[at] = seen * base
                seen *= wanted[at]
                at -= 1
            if seen != chunk:
                return None
            if axis > 0:
                base, chunk, seen = strides[axis - 1], 1, 1
    if not shape:
        return default_strides(wanted)
    return tuple(found) if at == -1 else None


def contiguous(x: Tensor) -> Tensor:
    """`x.contiguous()`: a copy unless x is contiguous."""
    if x.contiguous:
        return x
    return x.tape.record(x.tape.empty(x.shape, x.dtype), (x,), _pass_on)


def _pass_on(_: Node, grads: Gradients) -> Gradients:
    return grads


def reshape(x: Tensor, shape: Shape) -> Tensor:
    """`x.reshape(shape)`: a view where strides allow it, else a copy."""
    if tuple(shape) == x.shape:
        return x
    strides = strides_as(x.shape, strides_of(x), shape)
    if strides is None:
        x = contiguous(x)
        strides = default_strides(shape)
    return _recorded(x, shape, strides, _reshape_backward)


def _reshape_backward(node: Node, grads: Gradients) -> Gradients:
    grad = grads[0]
    assert grad is not None
    shape = node.inputs[0][2]
    if prod(grad.shape) != prod(shape):
        return (grad.tape.empty(shape, grad.dtype),)
    strides = strides_as(grad.shape, strides_of(grad), shape)
    return (grad.tape.empty(shape, grad.dtype) if strides is None else aliased(grad, shape, strides),)


def permute(x: Tensor, axes: Sequence[int]) -> Tensor:
    """`x.permute(axes)`: a view."""
    order = tuple(axis % len(x.shape) for axis in axes)
    strides = strides_of(x)
    shape = tuple(x.shape[axis] for axis in order)
    return _recorded(x, shape, tuple(strides[axis] for axis in order), _permute_backward, order)


def _permute_backward(node: Node, grads: Gradients) -> Gradients:
    grad = grads[0]
    assert grad is not None
    assert isinstance(node.extra, tuple)
    strides, back = strides_of(grad), [0] * len(node.extra)
    for new, old in enumerate(node.extra):
        back[old] = strides[new]
    return (aliased(grad, node.inputs[0][2], tuple(back)),)


def transpose(x: Tensor, first: int, second: int) -> Tensor:
    """`x.transpose(first, second)`: a view."""
    order = list(range(len(x.shape)))
    order[first], order[second] = order[second], order[first]
    return permute(x, order)


def expand(x: Tensor, shape: Sequence[int]) -> Tensor:
    """`x.expand(shape)`: a view; its gradient is summed to x's shape."""
    ahead = len(shape) - len(x.shape)
    old = ((1,) * ahead + x.shape, (0,) * ahead + strides_of(x))
    sizes = tuple(a if b == -1 else b for a, b in zip(old[0], shape, strict=True))
    strides = tuple(0 if a == 1 and b != 1 else s for a, b, s in zip(old[0], sizes, old[1], strict=True))
    if sizes == x.shape:
        return x
    return _recorded(x, sizes, strides, _expand_backward)


def _expand_backward(node: Node, grads: Gradients) -> Gradients:
    grad = grads[0]
    assert grad is not None
    shape = node.inputs[0][2]
    if prod(grad.shape) != prod(shape):
        return (grad.tape.empty(shape, grad.dtype),)
    return _reshape_backward(node, grads)


def narrow(x: Tensor, axis: int, size: int, step: int = 1) -> Tensor:
    """`x[..., a:b:step]` with `size` places left: a view; its gradient fills a whole tensor (slice_backward)."""
    if x.shape[axis] == size:
        return x
    strides = list(strides_of(x))
    strides[axis] *= step
    shape = (*x.shape[:axis], size, *x.shape[axis + 1 :])
    return _recorded(x, shape, tuple(strides), _filled)


def select(x: Tensor, axis: int) -> Tensor:
    """`x[..., i, :]`: a view without that dimension; its gradient fills a whole tensor."""
    strides = strides_of(x)
    axis %= len(x.shape)
    shape = (*x.shape[:axis], *x.shape[axis + 1 :])
    return _recorded(x, shape, (*strides[:axis], *strides[axis + 1 :]), _filled)


def _filled(node: Node, grads: Gradients) -> Gradients:
    grad = grads[0]
    assert grad is not None
    return (grad.tape.empty(node.inputs[0][2], grad.dtype),)


def split(x: Tensor, sizes: Sequence[int], axis: int) -> list[Tensor]:
    """`x.split(sizes, axis)` and `chunk`: views; backward concatenates the gradients."""
    axis %= len(x.shape)
    strides = strides_of(x)
    parts = [aliased(x, (*x.shape[:axis], size, *x.shape[axis + 1 :]), strides) for size in sizes]
    x.tape.record_many(parts, (x,), _joined)
    return parts


def unbind(x: Tensor, axis: int) -> list[Tensor]:
    """`x.unbind(axis)`: views; backward stacks the gradients."""
    axis %= len(x.shape)
    strides = strides_of(x)
    shape = (*x.shape[:axis], *x.shape[axis + 1 :])
    parts = [aliased(x, shape, (*strides[:axis], *strides[axis + 1 :])) for _ in range(x.shape[axis])]
    x.tape.record_many(parts, (x,), _joined)
    return parts


def _joined(node: Node, grads: Gradients) -> Gradients:
    """One new tensor; where an output got no gradient, zeros of its size are made first."""
    present = next(grad for grad in grads if grad is not None)
    tape, shape = present.tape, node.inputs[0][2]
    size = prod(shape) // len(grads)
    zeros = [tape.empty((size,), present.dtype) for grad in grads if grad is None]
    result = tape.empty(shape, present.dtype)
    del zeros
    return (result,)


def unfold(x: Tensor, axis: int, size: int, step: int) -> Tensor:
    """`x.unfold(axis, size, step)`: a view of overlapping windows."""
    axis %= len(x.shape)
    strides = strides_of(x)
    count = (x.shape[axis] - size) // step + 1
    shape = (*x.shape[:axis], count, *x.shape[axis + 1 :], size)
    moved = (*strides[:axis], strides[axis] * step, *strides[axis + 1 :], strides[axis])
    return _recorded(x, shape, moved, _filled)
