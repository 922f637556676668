"""Fused Adam of apex: fp32 moments, and an fp32 copy of the weights on request."""

from __future__ import annotations

from vramlint.knowledge.optimizer import Optimizer, Parameter, State, Variant
from vramlint.knowledge.optimizers.parts import NOTHING, like, steps


def _states(parameter: Parameter, variant: Variant) -> tuple[State, ...]:
    master = ("master",) if variant.master_weights and parameter.bits < 32 else ()  # noqa: PLR2004
    return like(parameter, "exp_avg", "exp_avg_sq", *master, bits=32)


OPTIMIZER = Optimizer(
    names=("apex.optimizers.FusedAdam", "apex.optimizers.fused_adam.FusedAdam"),
    states=_states,
    temporaries=steps(fused=NOTHING),
    default="fused",
    citation=("NVIDIA/apex@6424da3 apex/optimizers/fused_adam.py, read, not run; the kernel works in place"),
)
