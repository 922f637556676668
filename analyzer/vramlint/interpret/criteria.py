"""Losses."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from vramlint.interpret import pointwise, reductions
from vramlint.interpret.values import Data, NotUnderstood
from vramlint.memory.dtypes import (
    INT64,
)
from vramlint.memory.operators import (
    elementwise,
    losses,
    normalization,
)
from vramlint.memory.operators.smoothing import smoothed_cross_entropy
from vramlint.memory.operators.softmax import cross_entropy as entropy
from vramlint.memory.operators.softmax import softmax as soft
from vramlint.memory.tape import Tensor

if TYPE_CHECKING:
    from vramlint.interpret.interpreter import Interpreter

_WITHOUT_HEADS = 3  # (B, T, H): only the math kernel takes it


def cross_entropy(
    interpreter: Interpreter,
    x: Any,
    target: Any,
    *_: Any,
    reduction: str = "mean",
    label_smoothing: float = 0.0,
    **__: Any,
) -> Tensor:
    """`F.cross_entropy`; with smoothing, the log-probabilities are summed over the classes too."""
    logits = interpreter.tensor(x)
    labels = _labels(interpreter, logits, target)
    if labels.shape == logits.shape and labels.dtype.floating:
        return _soft_targets(logits, labels)
    shape = labels.shape if reduction == "none" else ()
    return (smoothed_cross_entropy if label_smoothing else entropy)(logits, labels, shape)


def _soft_targets(logits: Tensor, targets: Tensor) -> Tensor:
    logs = elementwise.autocast_fp32(soft(logits, logits.dtype))
    return elementwise.total(elementwise.negate(logs * targets))


def _labels(interpreter: Interpreter, logits: Tensor, target: Any) -> Tensor:
    shape = (logits.shape[0], *logits.shape[2:]) if len(logits.shape) > 1 else ()
    if isinstance(target, Data) and target.tensor is None:
        assert interpreter.materials is not None
        return interpreter.materials.of_shape(interpreter, target, shape, INT64)
    found = interpreter.tensor(target)
    if not isinstance(found, Tensor):
        raise NotUnderstood("the targets of the loss are not known")
    return found


def nll_loss(
    interpreter: Interpreter, x: Any, target: Any, *_: Any, reduction: str = "mean", **__: Any
) -> Tensor:
    """`F.nll_loss`."""
    logs = interpreter.tensor(x)
    return losses.picked(logs, _labels(interpreter, logs, target), reduction)


def mse_loss(x: Tensor, target: Tensor, *_: Any, reduction: str = "mean", **__: Any) -> Tensor:
    """`F.mse_loss`, `F.l1_loss`, `F.smooth_l1_loss`, `F.binary_cross_entropy`."""
    return losses.pointwise(x, target, reduction)


def bce_with_logits(x: Tensor, target: Tensor, *_: Any, reduction: str = "mean", **__: Any) -> Tensor:
    """`F.binary_cross_entropy_with_logits`."""
    return losses.bce_with_logits(x, target, reduction)


def kl_div(x: Tensor, target: Tensor, *_: Any, reduction: str = "mean", **__: Any) -> Tensor:
    """`F.kl_div`, written out: target * (log target - x)."""
    del reduction
    return elementwise.total(target * elementwise.subtract(elementwise.unary(target), x))


def cosine_similarity(a: Tensor, b: Tensor, dim: int = 1, eps: Any = 0) -> Tensor:
    """`F.cosine_similarity`: both are brought to unit length, multiplied and summed."""
    del eps
    return reductions.add_up(normalization.unit_length(a) * normalization.unit_length(b), dim)


def triplet_loss(a: Tensor, p: Tensor, n: Tensor, **_: Any) -> Tensor:
    """`F.triplet_margin_loss`."""
    near, far = (
        reductions.norm(elementwise.subtract(a, p), 2, -1),
        reductions.norm(elementwise.subtract(a, n), 2, -1),
    )
    return elementwise.total(pointwise.keeps_input(elementwise.subtract(near, far)))
