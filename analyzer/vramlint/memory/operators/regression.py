"""Losses between real numbers."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vramlint.memory.operators.elementwise import autocast_fp32
from vramlint.memory.operators.pooling import whole_gradient

if TYPE_CHECKING:
    from vramlint.memory.tape import Tensor


def mean_squared(prediction: Tensor, target: Tensor) -> Tensor:
    """`F.mse_loss(prediction, target)`: saves both."""
    prediction, target = autocast_fp32(prediction), autocast_fp32(target)
    out = prediction.tape.empty((), prediction.dtype)
    return prediction.tape.record(out, (prediction,), whole_gradient, (prediction, target))
