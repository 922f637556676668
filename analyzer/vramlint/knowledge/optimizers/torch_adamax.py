"""Adamax of torch: a first moment and an infinity norm in the dtype of the parameter."""

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
        "foreach": Temporary(group=1),
        "for-loop": Temporary(tensor=1 + decay),
    }


OPTIMIZER = Optimizer(
    names=("torch.optim.Adamax", "torch.optim.adamax.Adamax"),
    states=keeps_with_step("exp_avg", "exp_inf"),
    temporaries=_temporaries,
    default="foreach",
    citation=f"torch/optim/adamax.py, torch 2.13.0; {FAKE_RUN}",
)
