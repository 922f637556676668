"""RMSprop of torch: a squared average, and one more state each for momentum and centering."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vramlint.knowledge.optimizer import Implementation, Optimizer, Parameter, State, Temporary, Variant
from vramlint.knowledge.optimizers.parts import FAKE_RUN, like, step_counts

if TYPE_CHECKING:
    from collections.abc import Mapping


def _states(parameter: Parameter, variant: Variant) -> tuple[State, ...]:
    momentum = ("momentum_buffer",) if variant.momentum else ()
    centered = ("grad_avg",) if variant.centered else ()
    return (*like(parameter, "square_avg", *momentum, *centered), *step_counts(variant, "step"))


def _temporaries(variant: Variant) -> Mapping[Implementation, Temporary]:
    """A weight decay that is added to the gradient needs one more copy."""
    decay = 1 if variant.weight_decay else 0
    return {
        "foreach": Temporary(group=1 + decay),
        "for-loop": Temporary(tensor=1 + decay, previous=1),
    }


OPTIMIZER = Optimizer(
    names=("torch.optim.RMSprop", "torch.optim.rmsprop.RMSprop"),
    states=_states,
    temporaries=_temporaries,
    default="foreach",
    citation=f"torch/optim/rmsprop.py, torch 2.13.0; {FAKE_RUN}",
)
