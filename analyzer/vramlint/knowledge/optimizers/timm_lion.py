"""Lion of timm: one momentum in the dtype of the parameter."""

from __future__ import annotations

from vramlint.knowledge.optimizer import Optimizer, Temporary
from vramlint.knowledge.optimizers.parts import FAKE_RUN, keeps, steps

OPTIMIZER = Optimizer(
    names=("timm.optim.Lion", "timm.optim.lion.Lion", "timm.optim.create_optimizer_v2(opt=lion)"),
    states=keeps("exp_avg"),
    temporaries=steps(for_loop=Temporary(tensor=1, previous=1)),
    default="for-loop",
    citation=f"timm/optim/lion.py, timm 1.0.31; {FAKE_RUN}",
)
