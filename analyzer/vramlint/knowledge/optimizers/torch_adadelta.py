"""Adadelta of torch: two accumulators in the dtype of the parameter."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vramlint.knowledge.optimizer import Implementation, Optimizer, Temporary, Variant
from vramlint.knowledge.optimizers.parts import FAKE_RUN, keeps_with_step

if TYPE_CHECKING:
    from collections.abc import Mapping


def _temporaries(variant: Variant) -> Mapping[Implementation, Temporary]:
    """A weight decay that is added to the gradient needs one more copy."""
    decay = 1 if variant.weight_decay else 0
    return {
        "foreach": Temporary(group=2 + decay),
        "for-loop": Temporary(tensor=2 + decay, previous=1),
    }


OPTIMIZER = Optimizer(
    names=("torch.optim.Adadelta", "torch.optim.adadelta.Adadelta"),
    states=keeps_with_step("square_avg", "acc_delta"),
    temporaries=_temporaries,
    default="foreach",
    citation=f"torch/optim/adadelta.py, torch 2.13.0; {FAKE_RUN}",
)
