"""SGD of torch: nothing, or a momentum buffer in the dtype of the parameter."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vramlint.knowledge.optimizer import Implementation, Optimizer, Parameter, State, Temporary, Variant
from vramlint.knowledge.optimizers.parts import FAKE_RUN, NOTHING, like

if TYPE_CHECKING:
    from collections.abc import Mapping


def _states(parameter: Parameter, variant: Variant) -> tuple[State, ...]:
    return like(parameter, "momentum_buffer") if variant.momentum else ()


def _temporaries(variant: Variant) -> Mapping[Implementation, Temporary]:
    """Weight decay and Nesterov's look-ahead each copy the gradient; foreach reuses the first copy."""
    decay = 1 if variant.weight_decay else 0
    nesterov = 1 if variant.nesterov else 0
    return {
        "foreach": Temporary(group=decay),
        "for-loop": Temporary(tensor=decay + nesterov),
        "fused": NOTHING,
    }


OPTIMIZER = Optimizer(
    names=("torch.optim.SGD", "torch.optim.sgd.SGD", "timm.optim.create_optimizer_v2(opt=sgd)"),
    states=_states,
    temporaries=_temporaries,
    default="foreach",
    citation=f"torch/optim/sgd.py, torch 2.13.0; {FAKE_RUN}",
)
