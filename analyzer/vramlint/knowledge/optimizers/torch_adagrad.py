"""Adagrad of torch: one sum in the dtype of the parameter, made in the constructor."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vramlint.knowledge.optimizer import Implementation, Optimizer, Temporary, Variant
from vramlint.knowledge.optimizers.parts import FAKE_RUN, NOTHING, keeps_with_step

if TYPE_CHECKING:
    from collections.abc import Mapping


def _temporaries(variant: Variant) -> Mapping[Implementation, Temporary]:
    """A weight decay that is added to the gradient needs one more copy."""
    decay = 1 if variant.weight_decay else 0
    return {
        "foreach": Temporary(group=2),
        "for-loop": Temporary(tensor=1 + decay, previous=1),
        "fused": NOTHING,
    }


OPTIMIZER = Optimizer(
    names=("torch.optim.Adagrad", "torch.optim.adagrad.Adagrad"),
    states=keeps_with_step("sum"),
    temporaries=_temporaries,
    default="foreach",
    citation=f"torch/optim/adagrad.py, torch 2.13.0; {FAKE_RUN}",
    states_in_constructor=True,
)
