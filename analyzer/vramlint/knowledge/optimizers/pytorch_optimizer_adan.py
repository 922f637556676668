"""Adan of pytorch-optimizer: three averages and the previous gradient."""

from __future__ import annotations

from vramlint.knowledge.optimizer import Optimizer, Temporary
from vramlint.knowledge.optimizers.parts import FAKE_RUN, keeps, steps

OPTIMIZER = Optimizer(
    names=("pytorch_optimizer.Adan",),
    states=keeps("exp_avg", "exp_avg_sq", "exp_avg_diff", "previous_grad"),
    temporaries=steps(foreach=Temporary(group=1)),
    default="foreach",
    citation=f"pytorch-optimizer 4.1.0; {FAKE_RUN}",
)
