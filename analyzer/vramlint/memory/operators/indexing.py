"""Indexing with tensors: what is taken, and where its gradient goes."""

from __future__ import annotations

from vramlint.memory.tape import Gradients, Node, Tensor


def take_rows(x: Tensor, indices: tuple[Tensor, ...], *shape: int) -> Tensor:
    """`x[indices]`: saves the indices; the gradient is filled with zeros, then added to (index_put)."""
    out = x.tape.empty(shape, x.dtype)
    return x.tape.record(out, (x,), _scattered, indices)


def _scattered(node: Node, grads: Gradients) -> Gradients:
    grad = grads[0]
    assert grad is not None
    return (grad.tape.empty(node.inputs[0][2], grad.dtype),)


def select(x: Tensor, axis: int) -> Tensor:
    """`x.select(axis, i)`: a view without that dimension; its backward fills a whole tensor with zeros."""
    out = Tensor((*x.shape[:axis], *x.shape[axis + 1 :]), x.dtype, x.storage)
    return x.tape.record(out, (x,), _scattered)


def gather(x: Tensor, index: Tensor, *shape: int) -> Tensor:
    """`torch.gather(x, dim, index)`: saves x, for its sizes, and the index; the gradient is a whole tensor."""
    out = x.tape.empty(shape, x.dtype)
    return x.tape.record(out, (x,), _scattered, (x, index))


def put_rows(x: Tensor, mask: Tensor, value: Tensor) -> Tensor:
    """`x[mask] = value`, in place: saves the mask; each gradient is a tensor of its own."""
    return x.tape.record(x.view(*x.shape), (x, value), _put_backward, (mask,))


def _put_backward(node: Node, grads: Gradients) -> Gradients:
    grad = grads[0]
    assert grad is not None
    return [
        grad.tape.empty(shape, grad.dtype) if source is not None else None
        for source, _, shape, _ in node.inputs
    ]
