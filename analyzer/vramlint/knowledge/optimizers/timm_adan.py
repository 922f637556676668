"""Adan of timm: three averages and the negated previous gradient."""

from __future__ import annotations

from vramlint.knowledge.optimizer import Optimizer, Temporary
from vramlint.knowledge.optimizers.parts import FAKE_RUN, keeps, steps

OPTIMIZER = Optimizer(
    names=("timm.optim.Adan", "timm.optim.adan.Adan", "timm.optim.create_optimizer_v2(opt=adan)"),
    states=keeps("exp_avg", "exp_avg_sq", "exp_avg_diff", "neg_pre_grad"),
    temporaries=steps(for_loop=Temporary(tensor=2, previous=1)),
    default="for-loop",
    citation=f"timm/optim/adan.py, timm 1.0.31; {FAKE_RUN}",
)
