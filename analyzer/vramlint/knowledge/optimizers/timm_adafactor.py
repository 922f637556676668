"""Adafactor of timm: fp32 row and column factors."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vramlint.knowledge.optimizer import Implementation, Optimizer, Parameter, State, Temporary, Variant
from vramlint.knowledge.optimizers.parts import FAKE_RUN, factored, like, scalars, upcast_bytes

if TYPE_CHECKING:
    from collections.abc import Mapping


def _states(parameter: Parameter, variant: Variant) -> tuple[State, ...]:
    first = () if variant.beta1 is None else like(parameter, "exp_avg", bits=32)
    return (*first, *factored(parameter, "exp_avg_sq", bits=32), *scalars("RMS"))


def _temporaries(variant: Variant) -> Mapping[Implementation, Temporary]:
    """Without a first moment the last update stays bound while the next one is made."""
    held = 1 if variant.beta1 is None else 0
    return {"for-loop": Temporary(tensor=2, previous=held, bits=32, besides=upcast_bytes)}


OPTIMIZER = Optimizer(
    names=(
        "timm.optim.Adafactor",
        "timm.optim.adafactor.Adafactor",
        "timm.optim.create_optimizer_v2(opt=adafactor)",
    ),
    states=_states,
    temporaries=_temporaries,
    default="for-loop",
    citation=f"timm/optim/adafactor.py, timm 1.0.31; {FAKE_RUN}",
    states_between_updates=True,
)
