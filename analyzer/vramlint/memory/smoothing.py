"""Label smoothing of a whole run: the loss that the loop computes from the logits of a model called without labels."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from vramlint.memory.dtypes import FLOAT32
from vramlint.memory.families.heads import LANGUAGE_MODELLING
from vramlint.memory.families.layers import causal_lm_loss
from vramlint.memory.operators.elementwise import cast
from vramlint.memory.operators.smoothing import label_smoother, smoothed_cross_entropy

if TYPE_CHECKING:
    from vramlint.memory.families.base import Batch, Logits, Output
    from vramlint.memory.tape import Tensor


@dataclass(frozen=True, slots=True)
class InLoop:
    """`F.cross_entropy(logits, labels, label_smoothing=…)` under the loop's own autocast."""

    task: str
    logits: Logits
    in_autocast: bool = True

    def loss(self, output: Output, batch: Batch) -> Tensor:
        """Return the loss of a model's output."""
        assert output.logits is not None
        output.logits.tape.arena.label = "loss"
        if self.task in LANGUAGE_MODELLING:
            return causal_lm_loss(output.logits, self.logits, smoothed_cross_entropy)
        return smoothed_cross_entropy(output.logits, batch["labels"])


@dataclass(frozen=True, slots=True)
class InTrainer:
    """LabelSmoother, which transformers' Trainer calls outside of autocast.

    There accelerate has made the model's outputs fp32 (accelerate/utils/operations.py, convert_outputs_to_fp32).
    """

    task: str
    mixed: bool
    in_autocast: bool = False

    def loss(self, output: Output, batch: Batch) -> Tensor:
        """Return the loss of a model's output."""
        assert output.logits is not None
        output.logits.tape.arena.label = "loss"
        if self.mixed:
            output.logits = cast(output.logits, FLOAT32)
        return label_smoother(output.logits, batch["labels"], shifts=self.task in LANGUAGE_MODELLING)
