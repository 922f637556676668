"""Moving pixels about: padding and rolling images of shape (B, H, W, C), and cutting them into windows."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vramlint.memory.operators.elementwise import copy

if TYPE_CHECKING:
    from vramlint.memory.tape import Gradients, Node, Tensor


def pad(x: Tensor, height: int, width: int) -> Tensor:
    """`F.pad` of (B, H, W, C) up to this size: a copy even where nothing is added (constant_pad_nd)."""
    out = x.tape.empty((x.shape[0], height, width, x.shape[3]), x.dtype)
    return x.tape.record(out, (x,), _cut)


def _cut(node: Node, grads: Gradients) -> Gradients:
    grad = grads[0]
    assert grad is not None
    return (grad.tape.empty(node.inputs[0][2], grad.dtype),)


def roll(x: Tensor) -> Tensor:
    """`torch.roll`: a copy, and another one backwards."""
    return x.tape.record(x.tape.empty(x.shape, x.dtype), (x,), _cut)


def to_windows(x: Tensor, side: int) -> Tensor:
    """(B, H, W, C) to (windows, side², C), a copy."""
    rows, height, width, channels = x.shape
    return copy(x).view(rows * (height // side) * (width // side), side * side, channels)


def from_windows(x: Tensor, rows: int, height: int, width: int) -> Tensor:
    """(windows, side², C) to (B, H, W, C), a copy."""
    return copy(x).view(rows, height, width, x.shape[-1])


def unfold(x: Tensor, side: int) -> Tensor:
    """`F.unfold` of (1, C, H, W) in windows that do not overlap, to (1, C·side², windows): a copy."""
    rows, channels, height, width = x.shape
    shape = (rows, channels * side**2, (height // side) * (width // side))
    return x.tape.record(x.tape.empty(shape, x.dtype), (x,), _cut)
