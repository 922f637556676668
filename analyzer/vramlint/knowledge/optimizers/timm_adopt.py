"""ADOPT of timm: two moments in the dtype of the parameter."""

from __future__ import annotations

from vramlint.knowledge.optimizer import Optimizer, Temporary
from vramlint.knowledge.optimizers.parts import FAKE_RUN, keeps_with_step, steps

OPTIMIZER = Optimizer(
    names=("timm.optim.Adopt", "timm.optim.adopt.Adopt", "timm.optim.create_optimizer_v2(opt=adopt)"),
    states=keeps_with_step("exp_avg", "exp_avg_sq"),
    temporaries=steps(for_loop=Temporary(tensor=2, previous=2)),
    default="for-loop",
    citation=f"timm/optim/adopt.py, timm 1.0.31; {FAKE_RUN}",
)
