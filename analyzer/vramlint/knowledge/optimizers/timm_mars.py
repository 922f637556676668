"""MARS of timm: two moments and the last gradient."""

from __future__ import annotations

from vramlint.knowledge.optimizer import Optimizer, Temporary
from vramlint.knowledge.optimizers.parts import FAKE_RUN, keeps, steps

OPTIMIZER = Optimizer(
    names=("timm.optim.Mars", "timm.optim.mars.Mars", "timm.optim.create_optimizer_v2(opt=mars)"),
    states=keeps("exp_avg", "last_grad", "exp_avg_sq"),
    temporaries=steps(for_loop=Temporary(tensor=5)),
    default="for-loop",
    citation=f"timm/optim/mars.py, timm 1.0.31; {FAKE_RUN}",
    states_between_updates=True,
)
