"""Convolutions: a new tensor; one backward for all inputs, so input and weight are saved if any of them trains."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vramlint.memory.operators.matmul import autocast_half

if TYPE_CHECKING:
    from collections.abc import Sequence

    from vramlint.memory.tape import Gradients, Node, Tensor


def output_length(
    length: int, kernel: int, stride: int, padding: int, dilation: int = 1, *, ceil: bool = False
) -> int:
    """Return how many places a window takes on an axis (native/Pool.h, pooling_output_shape)."""
    room = length + 2 * padding - dilation * (kernel - 1) - 1
    places = (-(-room // stride) if ceil else room // stride) + 1
    return places - 1 if ceil and (places - 1) * stride >= length + padding else places


def convolution(  # noqa: PLR0917  in the order of F.conv2d
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    stride: Sequence[int],
    padding: Sequence[int],
    dilation: Sequence[int],
) -> Tensor:
    """`F.conv1d`, `conv2d`, `conv3d` of (B, C, …), on autocast's half-precision list."""
    x, weight = autocast_half(x), autocast_half(weight)
    windows = zip(x.shape[2:], weight.shape[2:], stride, padding, dilation, strict=True)
    out = x.tape.empty(
        (x.shape[0], weight.shape[0], *(output_length(*window) for window in windows)),
        x.dtype,
        contiguous=x.contiguous,  # channels last stay last
    )
    inputs = (x, weight) if bias is None else (x, weight, autocast_half(bias))
    return x.tape.record(out, inputs, every_gradient, (x, weight))


def transposed_convolution(
    x: Tensor, weight: Tensor, bias: Tensor | None, stride: int, padding: int
) -> Tensor:
    """`F.conv_transpose2d` of (B, C, H, W) with a weight of shape (C, out, kernel, kernel)."""
    x, weight = autocast_half(x), autocast_half(weight)
    size = ((length - 1) * stride - 2 * padding + weight.shape[2] for length in x.shape[2:])
    out = x.tape.empty((x.shape[0], weight.shape[1], *size), x.dtype)
    inputs = (x, weight) if bias is None else (x, weight, autocast_half(bias))
    return x.tape.record(out, inputs, every_gradient, (x, weight))


def transposed(  # noqa: PLR0917  in the order of F.conv_transpose2d
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    channels: int,
    stride: Sequence[int],
    padding: Sequence[int],
    further: Sequence[int],
    dilation: Sequence[int],
) -> Tensor:
    """`F.conv_transpose1d`, `2d`, `3d` of (B, C, …) with a weight of shape (C, out / groups, kernel …)."""
    x, weight = autocast_half(x), autocast_half(weight)
    windows = zip(x.shape[2:], weight.shape[2:], stride, padding, further, dilation, strict=True)
    size = ((length - 1) * step - 2 * pad + spread * (kernel - 1) + more + 1
            for length, kernel, step, pad, more, spread in windows)  # fmt: skip
    out = x.tape.empty((x.shape[0], channels, *size), x.dtype)
    inputs = (x, weight) if bias is None else (x, weight, autocast_half(bias))
    return x.tape.record(out, inputs, every_gradient, (x, weight))


def every_gradient(node: Node, grads: Gradients) -> Gradients:
    """convolution_backward returns all gradients that are wanted at once."""
    grad = grads[0]
    assert grad is not None
    return [
        grad.tape.empty(shape, grad.dtype) if source is not None else None
        for source, _, shape, _ in node.inputs
    ]
