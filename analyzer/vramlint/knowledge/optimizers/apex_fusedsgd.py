"""Fused SGD of apex: nothing, or a momentum buffer in the dtype of the parameter."""

from __future__ import annotations

from vramlint.knowledge.optimizer import Optimizer, Parameter, State, Variant
from vramlint.knowledge.optimizers.parts import NOTHING, like, steps


def _states(parameter: Parameter, variant: Variant) -> tuple[State, ...]:
    return like(parameter, "momentum_buffer") if variant.momentum else ()


OPTIMIZER = Optimizer(
    names=("apex.optimizers.FusedSGD", "apex.optimizers.fused_sgd.FusedSGD"),
    states=_states,
    temporaries=steps(fused=NOTHING),
    default="fused",
    citation=("NVIDIA/apex@6424da3 apex/optimizers/fused_sgd.py, read, not run; the kernel works in place"),
)
