"""Adam of torch: two moments in the dtype of the parameter, a third with amsgrad."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vramlint.knowledge.optimizer import Implementation, Optimizer, Parameter, State, Temporary, Variant
from vramlint.knowledge.optimizers.parts import FAKE_RUN, NOTHING, like, step_counts

if TYPE_CHECKING:
    from collections.abc import Mapping


def _states(parameter: Parameter, variant: Variant) -> tuple[State, ...]:
    moments = ("exp_avg", "exp_avg_sq", *(("max_exp_avg_sq",) if variant.amsgrad else ()))
    return (*like(parameter, *moments), *step_counts(variant, "step"))


def _temporaries(variant: Variant) -> Mapping[Implementation, Temporary]:
    """A weight decay that is added to the gradient needs one more copy."""
    decay = 1 if variant.weight_decay else 0
    return {
        "foreach": Temporary(group=1),
        "old foreach": Temporary(group=2 + decay),
        "for-loop": Temporary(tensor=2 + decay, previous=1),
        "fused": NOTHING,
    }


OPTIMIZER = Optimizer(
    names=("torch.optim.Adam", "torch.optim.adam.Adam"),
    states=_states,
    temporaries=_temporaries,
    default="foreach",
    citation=f"torch/optim/adam.py, torch 2.13.0; {FAKE_RUN}",
)
