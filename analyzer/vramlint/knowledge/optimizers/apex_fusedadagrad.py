"""Fused Adagrad of apex: one sum in the dtype of the parameter."""

from __future__ import annotations

from vramlint.knowledge.optimizer import Optimizer
from vramlint.knowledge.optimizers.parts import NOTHING, keeps, steps

OPTIMIZER = Optimizer(
    names=("apex.optimizers.FusedAdagrad", "apex.optimizers.fused_adagrad.FusedAdagrad"),
    states=keeps("sum"),
    temporaries=steps(fused=NOTHING),
    default="fused",
    citation=(
        "NVIDIA/apex@6424da3 apex/optimizers/fused_adagrad.py, read, not run; the kernel works in place"
    ),
)
