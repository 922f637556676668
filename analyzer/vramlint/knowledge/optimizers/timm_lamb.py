"""LAMB of timm: two moments in the dtype of the parameter."""

from __future__ import annotations

from vramlint.knowledge.optimizer import Optimizer, Temporary
from vramlint.knowledge.optimizers.parts import FAKE_RUN, keeps, steps

OPTIMIZER = Optimizer(
    names=("timm.optim.Lamb", "timm.optim.lamb.Lamb", "timm.optim.create_optimizer_v2(opt=lamb)"),
    states=keeps("exp_avg", "exp_avg_sq"),
    temporaries=steps(for_loop=Temporary(tensor=3, previous=2)),
    default="for-loop",
    citation=f"timm/optim/lamb.py, timm 1.0.31; {FAKE_RUN}",
    states_between_updates=True,
)
