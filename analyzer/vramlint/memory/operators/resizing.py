"""Making images larger: nearest neighbours, and zeros around them, of shape (B, C, H, W)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vramlint.memory.operators.pooling import whole_gradient

if TYPE_CHECKING:
    from vramlint.memory.tape import Tensor


def nearest(x: Tensor, height: int, width: int) -> Tensor:
    """`F.interpolate(x, size, mode="nearest")`: saves nothing."""
    out = x.tape.empty((*x.shape[:2], height, width), x.dtype)
    return x.tape.record(out, (x,), whole_gradient)


def zero_padded(x: Tensor, below: int, right: int) -> Tensor:
    """`F.pad(x, (0, right, 0, below))`: a copy."""
    out = x.tape.empty((*x.shape[:2], x.shape[2] + below, x.shape[3] + right), x.dtype)
    return x.tape.record(out, (x,), whole_gradient)
