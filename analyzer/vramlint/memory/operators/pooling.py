"""Pooling: what each kind saves (tools/autograd/derivatives.yaml)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vramlint.memory.dtypes import INT64
from vramlint.memory.operators.convolution import output_length

if TYPE_CHECKING:
    from vramlint.memory.tape import Gradients, Node, Tensor


def max_pool(x: Tensor, kernel: int, stride: int, padding: int = 0, *, ceil: bool = False) -> Tensor:
    """`F.max_pool2d`: saves its input and, as 64-bit integers, where each maximum was."""
    size = [output_length(length, kernel, stride, padding, ceil=ceil) for length in x.shape[2:]]
    out = x.tape.empty((*x.shape[:2], *size), x.dtype)
    places = x.tape.empty(out.shape, INT64)
    return x.tape.record(out, (x,), whole_gradient, (x, places))


def average_pool(x: Tensor, kernel: int, stride: int, padding: int = 0, *, ceil: bool = False) -> Tensor:
    """`F.avg_pool2d`: saves its input."""
    size = [output_length(length, kernel, stride, padding, ceil=ceil) for length in x.shape[2:]]
    out = x.tape.empty((*x.shape[:2], *size), x.dtype)
    return x.tape.record(out, (x,), whole_gradient, (x,))


def adaptive_average_pool(x: Tensor, height: int, width: int) -> Tensor:
    """`F.adaptive_avg_pool2d`: saves its input, but a single place is a mean, which saves nothing."""
    out = x.tape.empty((*x.shape[:2], height, width), x.dtype)
    return x.tape.record(out, (x,), whole_gradient, () if height == width == 1 else (x,))


def mean_over(x: Tensor, *axes: int) -> Tensor:
    """`x.mean(axes)`: saves nothing; its gradient is a whole tensor."""
    dropped = {axis % len(x.shape) for axis in axes}
    out = x.tape.empty(tuple(size for axis, size in enumerate(x.shape) if axis not in dropped), x.dtype)
    return x.tape.record(out, (x,), whole_gradient)


def whole_gradient(node: Node, grads: Gradients) -> Gradients:
    """Return a gradient of the input's shape."""
    grad = grads[0]
    assert grad is not None
    return (grad.tape.empty(node.inputs[0][2], grad.dtype),)
