"""Averaged SGD of torch: the average in the dtype of the parameter, three scalars on the GPU."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vramlint.knowledge.optimizer import Implementation, Optimizer, Parameter, State, Temporary, Variant
from vramlint.knowledge.optimizers.parts import FAKE_RUN, like, scalars

if TYPE_CHECKING:
    from collections.abc import Mapping


def _states(parameter: Parameter, _: Variant) -> tuple[State, ...]:
    return (*like(parameter, "ax"), *scalars("step", "eta", "mu"))


def _temporaries(variant: Variant) -> Mapping[Implementation, Temporary]:
    """A weight decay that is added to the gradient needs one more copy."""
    decay = 1 if variant.weight_decay else 0
    return {
        "foreach": Temporary(group=1),
        "for-loop": Temporary(tensor=0 + decay),
    }


OPTIMIZER = Optimizer(
    names=("torch.optim.ASGD", "torch.optim.asgd.ASGD"),
    states=_states,
    temporaries=_temporaries,
    default="foreach",
    citation=f"torch/optim/asgd.py, torch 2.13.0; {FAKE_RUN}",
)
