"""Fused NovoGrad of apex: one moment in the dtype of the parameter, a norm per tensor."""

from __future__ import annotations

from vramlint.knowledge.optimizer import Optimizer
from vramlint.knowledge.optimizers.parts import NOTHING, keeps, steps

OPTIMIZER = Optimizer(
    names=("apex.optimizers.FusedNovoGrad", "apex.optimizers.fused_novograd.FusedNovoGrad"),
    states=keeps("exp_avg"),
    temporaries=steps(fused=NOTHING),
    default="fused",
    citation=(
        "NVIDIA/apex@6424da3 apex/optimizers/fused_novograd.py, read, not run; the kernel works in place"
    ),
)
