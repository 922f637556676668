"""Elementwise operators, casts and concatenation: what each allocates and saves.

Saved tensors follow pytorch/tools/autograd/derivatives.yaml (torch 2.13), temporaries of backward
torch/csrc/autograd/FunctionsManual.cpp; C++ temporaries live to the end of their expression.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from vramlint.memory.dtypes import BOOL, FLOAT32, INT64, DType, promoted
from vramlint.memory.tape import Gradients, Node, Shape, Tensor

if TYPE_CHECKING:
    from collections.abc import Sequence


def _broadcast(a: Shape, b: Shape) -> Shape:
    if len(a) < len(b):
        a, b = b, a
    if a == b:
        return a
    padded = (1,) * (len(a) - len(b)) + tuple(b)
    return tuple(x if y in {1, x} else y for x, y in zip(a, padded, strict=True))


def empty_like(x: Tensor, dtype: DType | None = None) -> Tensor:
    """`torch.empty_like`: what has no gaps keeps its order in memory (TensorIterator, preserve_format)."""
    out = x.tape.empty(x.shape, dtype or x.dtype, contiguous=x.contiguous)
    if x.strides is not None and not x.contiguous:
        if is_dense(x.shape, x.strides):
            out.strides = x.strides
        else:
            out.contiguous = True
    return out


def is_dense(shape: Shape, strides: Shape) -> bool:
    """Return whether the elements fill their memory without gaps or overlap, in any order."""
    expected = 1
    for stride, size in sorted(
        (stride, size) for stride, size in zip(strides, shape, strict=True) if size != 1
    ):
        if stride != expected:
            return False
        expected *= size
    return True


def cast(x: Tensor, dtype: DType) -> Tensor:
    """`x.to(dtype)`: x itself if it has the type already."""
    if x.dtype is dtype:
        return x
    out = empty_like(x, dtype)
    return x.tape.record(out, (x,), pass_on)  # the gradient is cast back when it is validated


def pass_on(_: Node, grads: Gradients) -> Gradients:
    """Hand on the gradient itself."""
    return grads


def autocast_fp32(x: Tensor) -> Tensor:
    """What autocast does to the input of an operator on its fp32 list."""
    return cast(x, FLOAT32) if x.tape.autocast is not None and x.dtype.is_half else x


def contiguous(x: Tensor) -> Tensor:
    """`x.contiguous()`: a copy unless x is contiguous."""
    return x if x.contiguous else copy(x)


def copy(x: Tensor) -> Tensor:
    """`x.clone()` in contiguous order."""
    return x.tape.record(x.tape.empty(x.shape, x.dtype), (x,), pass_on)


def reordered(x: Tensor) -> Tensor:
    """Return x under a view whose gradient comes in another order, so that it is copied back into x's."""
    return x.tape.record(x.detached(), (x,), scale)


def reshape(x: Tensor, *shape: int) -> Tensor:
    """`x.reshape(...)` where dimensions are merged: a copy if x is not contiguous."""
    return contiguous(x).view(*shape)


def multiply(a: Tensor, b: Tensor | float) -> Tensor:
    """`a * b`; with a tensor both factors are saved for each other's gradient."""
    if not isinstance(b, Tensor):
        return a.tape.record(empty_like(a), (a,), scale)
    wider = a if len(a.shape) >= len(b.shape) else b
    out = _joined(a, b, wider)
    saved = ((b,) if a.node is not None else ()) + ((a,) if b.node is not None else ())
    return a.tape.record(out, (a, b), both_like, saved, (a.dtype, b.dtype))


def _joined(a: Tensor, b: Tensor, leading: Tensor) -> Tensor:
    """Allocate the result of an operator on two tensors: in the order of the one that leads, if it is as large."""
    shape, dtype = _broadcast(a.shape, b.shape), promoted(a.dtype, b.dtype)
    if leading.strides is None:
        return a.tape.empty(shape, dtype, contiguous=leading.contiguous)
    return empty_like(leading, dtype) if leading.shape == shape else a.tape.empty(shape, dtype)


def scale(_: Node, grads: Gradients) -> Gradients:
    """One new gradient, as large as the one that came."""
    return (_like(grads),)


def _like(grads: Gradients) -> Tensor:
    grad = grads[0]
    assert grad is not None
    return empty_like(grad)


def both_like(node: Node, grads: Gradients) -> Gradients:
    """One new gradient for each of two inputs that wants one, as large as the one that came."""
    grad = grads[0]
    assert grad is not None
    return [_like(grads) if node.needs(index) else None for index in range(2)]


def every_like(node: Node, grads: Gradients) -> Gradients:
    """One new gradient for each input that wants one."""
    present = next(grad for grad in grads if grad is not None)
    return [
        present.tape.empty(shape, present.dtype) if source is not None else None
        for source, _, shape, _ in node.inputs
    ]


def add(a: Tensor, b: Tensor | float) -> Tensor:
    """`a + b`: saves nothing, and hands the same gradient to both."""
    if not isinstance(b, Tensor):
        return a.tape.record(empty_like(a), (a,), pass_on)
    out = _joined(a, b, a)
    return a.tape.record(out, (a, b), _add_backward)


def _add_backward(node: Node, grads: Gradients) -> Gradients:
    return [grads[0] if node.needs(index) else None for index in range(2)]


def add_inplace(a: Tensor, b: Tensor) -> Tensor:
    """`a += b`: writes into a."""
    return a.tape.record(a.detached(), (a, b), _add_backward)


def written(x: Tensor) -> Tensor:
    """`x.add_(1)`, `x.mul_(2)` and their like: write into x and save nothing."""
    return x.tape.record(x.detached(), (x,), scale)


def subtract(a: Tensor, b: Tensor) -> Tensor:
    """`a - b`: as addition, but the gradient of b is negated."""
    out = _joined(a, b, a)
    return a.tape.record(out, (a, b), _subtract_backward)


def _subtract_backward(node: Node, grads: Gradients) -> Gradients:
    return [grads[0] if node.needs(0) else None, _like(grads) if node.needs(1) else None]


def negate(x: Tensor) -> Tensor:
    """`-x`."""
    return x.tape.record(empty_like(x), (x,), scale)


def unary(x: Tensor) -> Tensor:
    """An operator that saves its input, and allocates one gradient in backward: silu, gelu, softplus, cos …."""
    out = empty_like(x)
    return x.tape.record(out, (x,), scale, (x,))


def unary_saving_result(x: Tensor) -> Tensor:
    """An operator that saves its output: tanh, sigmoid, relu, exp, rsqrt, softmax …."""
    out = empty_like(x)
    return x.tape.record(out, (x,), scale, (out.detached(),))


def unary_inplace(x: Tensor) -> Tensor:
    """`relu_(x)` and its like: writes into x, which is then what is saved."""
    out = x.detached()
    return x.tape.record(out, (x,), scale, (out.detached(),))


def rsqrt(x: Tensor) -> Tensor:
    """`rsqrt(x)`, on autocast's fp32 list: saves its output."""
    x = autocast_fp32(x)
    out = x.tape.empty(x.shape, x.dtype)
    return x.tape.record(out, (x,), scale, (out.detached(),))


def power(x: Tensor) -> Tensor:
    """`x ** n`, on autocast's fp32 list: saves x; backward is grad * (n * x.pow(n - 1))."""
    x = autocast_fp32(x)
    out = empty_like(x)
    return x.tape.record(out, (x,), _power_backward, (x,))


def _power_backward(node: Node, grads: Gradients) -> Gradients:
    x = node.saved[0]
    raised = x.tape.empty(x.shape, x.dtype)
    times_n = x.tape.empty(x.shape, x.dtype)
    result = _like(grads)
    del raised, times_n
    return (result,)


def mean_last(x: Tensor) -> Tensor:
    """`x.mean(-1, keepdim=True)`: saves nothing; its gradient is expanded, then divided into a full tensor."""
    out = x.tape.empty((*x.shape[:-1], 1), x.dtype)
    return x.tape.record(out, (x,), _mean_backward, (), x.shape)


def expanded_back(node: Node, grads: Gradients) -> Gradients:
    """The gradient of a sum: expanded to the input's shape without a copy (sum_backward)."""
    grad = grads[0]
    assert grad is not None
    shape = node.inputs[0][2]
    out = Tensor(shape, grad.dtype, grad.storage, contiguous=False)
    out.strides = (0,) * len(shape)
    return (out,)


def _mean_backward(node: Node, grads: Gradients) -> Gradients:
    grad = grads[0]
    assert grad is not None
    shape = node.inputs[0][2]
    return (grad.tape.empty(shape, grad.dtype),)


def concatenate(parts: Sequence[Tensor], axis: int) -> Tensor:
    """`torch.cat`: a new tensor; the gradients of the parts are views of its gradient."""
    first = parts[0]
    axis %= len(first.shape)
    size = sum(part.shape[axis] for part in parts) if len(parts) > 1 else first.shape[axis]
    shape = (*first.shape[:axis], size, *first.shape[axis + 1 :])
    dtype = first.dtype
    for part in parts:
        dtype = promoted(dtype, part.dtype)
    out = first.tape.empty(shape, dtype)
    return first.tape.record(out, parts, _concatenate_backward)


def _concatenate_backward(node: Node, grads: Gradients) -> Gradients:
    grad = grads[0]
    assert grad is not None
    return [
        Tensor(shape, grad.dtype, grad.storage, contiguous=False) if source is not None else None
        for source, _, shape, _ in node.inputs
    ]


def filled_with(parts: Sequence[Tensor]) -> Tensor:
    """An empty tensor into whose last dimension the parts are copied: `out[..., a:b].copy_(part)`.

    Backward clones the whole gradient and each slice of it (copy_slices.cpp).
    """
    first = parts[0]
    shape = (*first.shape[:-1], sum(part.shape[-1] for part in parts))
    return first.tape.record(first.tape.empty(shape, first.dtype), parts, _filled_backward)


def _filled_backward(node: Node, grads: Gradients) -> Gradients:
    grad = grads[0]
    assert grad is not None
    clone = grad.tape.empty(grad.shape, grad.dtype)
    results = [
        grad.tape.empty(shape, grad.dtype) if source is not None else None
        for source, _, shape, _ in node.inputs
    ]
    del clone
    return results


def narrow(x: Tensor, axis: int, size: int) -> Tensor:
    """`x[..., a:b]`: a view; its backward fills a whole tensor of x's shape with zeros (slice_backward)."""
    axis %= len(x.shape)
    if x.shape[axis] == size:
        return x
    shape = (*x.shape[:axis], size, *x.shape[axis + 1 :])
    out = Tensor(shape, x.dtype, x.storage, contiguous=False)
    return x.tape.record(out, (x,), filled_back)


def filled_back(node: Node, grads: Gradients) -> Gradients:
    """A whole tensor of the input's shape."""
    grad = grads[0]
    assert grad is not None
    return (grad.tape.empty(node.inputs[0][2], grad.dtype),)


def select(x: Tensor, axis: int) -> Tensor:
    """`x[..., i, :]`: a view without that dimension; its backward fills a whole tensor of x's shape."""
    axis %= len(x.shape)
    out = Tensor((*x.shape[:axis], *x.shape[axis + 1 :]), x.dtype, x.storage, contiguous=False)
    return x.tape.record(out, (x,), filled_back)


def split(x: Tensor, sizes: Sequence[int], axis: int = -1) -> list[Tensor]:
    """`x.split(sizes)` or `x.chunk(n)`: views; backward concatenates the gradients."""
    axis %= len(x.shape)
    before, after = x.shape[:axis], x.shape[axis + 1 :]
    parts = [Tensor((*before, size, *after), x.dtype, x.storage, contiguous=False) for size in sizes]
    x.tape.record_many(parts, (x,), _split_backward)
    return parts


def _split_backward(node: Node, grads: Gradients) -> Gradients:
    present = next(grad for grad in grads if grad is not None)
    return (present.tape.empty(node.inputs[0][2], present.dtype),)


def unstack(x: Tensor, count: int) -> list[Tensor]:
    """Iterate over the first dimension (`unbind`): views; backward stacks the gradients."""
    parts = [Tensor(x.shape[1:], x.dtype, x.storage, contiguous=x.contiguous) for _ in range(count)]
    x.tape.record_many(parts, (x,), _split_backward)
    return parts


def expand(x: Tensor, *shape: int) -> Tensor:
    """`x.expand(...)`: a view; its gradient is reduced to x's shape."""
    out = Tensor(shape, x.dtype, x.storage, contiguous=False)
    return x.tape.record(out, (x,), pass_on)


def dropout(x: Tensor, p: float) -> Tensor:
    """`F.dropout(x, p)` in training: a new tensor and a mask of one byte per element, which is saved."""
    if p == 0.0:
        return x
    out = empty_like(x)
    mask = x.tape.empty(x.shape, BOOL)
    return x.tape.record(out, (x,), scale, (mask,))


def dropout_inplace(x: Tensor, p: float) -> Tensor:
    """`F.dropout(x, p, inplace=True)` in training: scales x by noise of its own type, which is saved."""
    if p == 0.0:
        return x
    noise = x.tape.empty(x.shape, x.dtype)
    return x.tape.record(x.view(*x.shape), (x,), scale, (noise,))


def masked_fill(x: Tensor, mask: Tensor) -> Tensor:
    """`x.masked_fill(mask, value)`: saves the mask."""
    out = x.tape.empty(_broadcast(x.shape, mask.shape), x.dtype)
    return x.tape.record(out, (x,), scale, (mask,))


def less_largest(x: Tensor) -> Tensor:
    """`x - x.max(-1, keepdim=True).values`: saves where the largest are; their gradient fills a whole tensor."""
    rows = (*x.shape[:-1], 1)
    values, indices = x.tape.empty(rows, x.dtype), x.tape.empty(rows, INT64)
    values = x.tape.record(values, (x,), filled_back, (indices,))
    return subtract(x, values)


def where(mask: Tensor, a: Tensor, b: Tensor) -> Tensor:
    """`torch.where(mask, a, b)`: saves the mask; each gradient is a full tensor."""
    shape = _broadcast(_broadcast(a.shape, b.shape), mask.shape)
    out = a.tape.empty(shape, promoted(a.dtype, b.dtype))
    return a.tape.record(out, (a, b), both_like, (mask,))


def total(x: Tensor) -> Tensor:
    """`x.sum()` or `x.mean()` over everything: a scalar; the gradient is expanded to x's shape."""
    out = x.tape.empty((), x.dtype)
    return x.tape.record(out, (x,), _mean_backward)


def repeat_first(x: Tensor, times: int) -> Tensor:
    """`x.repeat(times, 1, …)`: a copy; its gradient is summed over the repetitions."""
    out = x.tape.empty((x.shape[0] * times, *x.shape[1:]), x.dtype)
    return x.tape.record(out, (x,), summed_back)


def summed_back(node: Node, grads: Gradients) -> Gradients:
    """A gradient that is summed over what was repeated."""
    grad = grads[0]
    assert grad is not None
    return (grad.tape.empty(node.inputs[0][2], grad.dtype),)


def holding(x: Tensor, *shared: Tensor | None) -> Tensor:
    """Return x with a node that keeps `shared` until backward has passed everything behind it.

    What only the layers of a repeat region use would otherwise be freed once for each copy.
    """
    return x.tape.record(x.view(*x.shape), (x,), pass_on, tuple(t for t in shared if t is not None))
