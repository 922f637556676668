"""Prodigy of pytorch-optimizer: two moments, the starting point and a running sum."""

from __future__ import annotations

from vramlint.knowledge.optimizer import Optimizer, Temporary
from vramlint.knowledge.optimizers.parts import FAKE_RUN, keeps, steps

OPTIMIZER = Optimizer(
    names=("pytorch_optimizer.Prodigy",),
    states=keeps("s", "p0", "exp_avg", "exp_avg_sq"),
    temporaries=steps(foreach=Temporary(group=1, tensor=1)),
    default="foreach",
    citation=f"pytorch-optimizer 4.1.0; {FAKE_RUN}",
)
