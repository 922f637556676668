"""MADGRAD of timm: a sum, a squared sum and the starting point."""

from __future__ import annotations

from vramlint.knowledge.optimizer import Optimizer, Temporary
from vramlint.knowledge.optimizers.parts import FAKE_RUN, keeps, steps

OPTIMIZER = Optimizer(
    names=("timm.optim.MADGRAD", "timm.optim.madgrad.MADGRAD", "timm.optim.create_optimizer_v2(opt=madgrad)"),
    states=keeps("grad_sum_sq", "s", "x0"),
    temporaries=steps(for_loop=Temporary(tensor=2, previous=1)),
    default="for-loop",
    citation=f"timm/optim/madgrad.py, timm 1.0.31; {FAKE_RUN}",
    states_between_updates=True,
)
