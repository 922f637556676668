"""Matrix products: linear layers, batched products, and the casts that autocast puts before them."""

from __future__ import annotations

from vramlint.memory.dtypes import FLOAT32
from vramlint.memory.operators.elementwise import cast, contiguous
from vramlint.memory.selective import output_of
from vramlint.memory.tape import Entry, Gradients, Leaf, Node, Tensor

_FACTORS = 2  # the factors of a product come first among its inputs, the bias after them


def autocast_half(x: Tensor) -> Tensor:
    """What autocast does to an input of an operator on its lower-precision list.

    The copy of a trainable fp32 weight, or of another leaf, is cached until autocast ends; every other
    input is cast anew for each use (ATen/autocast_mode.cpp, cached_cast).
    """
    tape = x.tape
    if tape.autocast is None or x.dtype is tape.autocast or x.dtype is not FLOAT32:
        return x
    dtype = tape.autocast
    if isinstance(x.node, Entry):
        return tape.cached_cast(x, lambda: cast(x, dtype))
    if isinstance(x.node, Leaf):
        if tape.autocast_cache:
            return tape.cached_cast(x, lambda: _weight_copy(x))
        return _weight_copy(x)
    return cast(x, dtype)


def _weight_copy(x: Tensor) -> Tensor:
    tape = x.tape
    assert tape.autocast is not None
    before, tape.arena.kind = tape.arena.kind, "weight copy"
    copy = cast(x, tape.autocast)
    tape.arena.kind = before
    return copy


def linear(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """`F.linear`: saves x if the weight trains, and the weight if x wants a gradient (mm, addmm)."""
    return _product(x, weight, bias, weight.shape[0])


def linear_transposed(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """`addmm(bias, x, weight)` with a weight of shape (in, out): transformers' Conv1D."""
    return _product(x, weight, bias, weight.shape[1])


def _product(x: Tensor, weight: Tensor, bias: Tensor | None, features: int) -> Tensor:
    x, weight = contiguous(autocast_half(x)), autocast_half(weight)
    out = output_of(x.tape, "mm", (*x.shape[:-1], features), x.dtype)
    saved = ((x,) if weight.node is not None else ()) + ((weight,) if x.node is not None else ())
    inputs = (x, weight) if bias is None else (x, weight, autocast_half(bias))
    return x.tape.record(out, inputs, _product_backward, saved)


def _product_backward(node: Node, grads: Gradients) -> Gradients:
    grad = grads[0]
    assert grad is not None
    results: list[Tensor | None] = []
    for index, (source, _, shape, _) in enumerate(node.inputs):
        if source is None:
            results.append(None)
        elif index < _FACTORS:
            results.append(grad.tape.empty(shape, grad.dtype))
        else:
            results.append(Tensor(grad.shape, grad.dtype, grad.storage))
    return results


def batched(a: Tensor, b: Tensor) -> Tensor:
    """`torch.matmul` of two tensors with equal leading dimensions (bmm): saves both for each other."""
    a, b = autocast_half(a), autocast_half(b)
    if not a.contiguous:
        a = contiguous(a)
    out = a.tape.empty((*a.shape[:-1], b.shape[-1]), a.dtype)
    saved = ((a,) if b.node is not None else ()) + ((b,) if a.node is not None else ())
    return a.tape.record(out, (a, b), _batched_backward, saved)


def _batched_backward(node: Node, grads: Gradients) -> Gradients:
    grad = grads[0]
    assert grad is not None
    return [
        grad.tape.empty(shape, grad.dtype) if source is not None else None
        for source, _, shape, _ in node.inputs
    ]


def added_batched(bias: Tensor, a: Tensor, b: Tensor) -> Tensor:
    """`torch.baddbmm(bias, a, b)` with a bias that wants no gradient: saves both factors."""
    bias, a, b = autocast_half(bias), autocast_half(a), autocast_half(b)
    out = a.tape.empty((*a.shape[:-1], b.shape[-1]), a.dtype)
    return a.tape.record(out, (a, b), _batched_backward, (a, b))


def embedding(indices: Tensor, weight: Tensor) -> Tensor:
    """`F.embedding`: saves the indices; the gradient of the weight is dense."""
    out = weight.tape.empty((*indices.shape, weight.shape[1]), weight.dtype)
    return weight.tape.record(out, (weight,), _dense_backward, (indices,))


def _dense_backward(node: Node, grads: Gradients) -> Gradients:
    grad = grads[0]
    assert grad is not None
    return (grad.tape.empty(node.inputs[0][2], grad.dtype),)
