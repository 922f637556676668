"""Fused LAMB of apex: two moments in the dtype of the parameter."""

from __future__ import annotations

from vramlint.knowledge.optimizer import Optimizer
from vramlint.knowledge.optimizers.parts import NOTHING, keeps, steps

OPTIMIZER = Optimizer(
    names=("apex.optimizers.FusedLAMB", "apex.optimizers.fused_lamb.FusedLAMB"),
    states=keeps("exp_avg", "exp_avg_sq"),
    temporaries=steps(fused=NOTHING),
    default="fused",
    citation=("NVIDIA/apex@6424da3 apex/optimizers/fused_lamb.py, read, not run; the kernel works in place"),
)
