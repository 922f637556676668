"""NAdamW of timm: two moments in the dtype of the parameter."""

from __future__ import annotations

from vramlint.knowledge.optimizer import Optimizer, Temporary
from vramlint.knowledge.optimizers.parts import FAKE_RUN, keeps_with_step, steps

OPTIMIZER = Optimizer(
    names=("timm.optim.NAdamW", "timm.optim.nadamw.NAdamW", "timm.optim.create_optimizer_v2(opt=nadamw)"),
    states=keeps_with_step("exp_avg", "exp_avg_sq"),
    temporaries=steps(for_loop=Temporary(tensor=3, previous=1)),
    default="for-loop",
    citation=f"timm/optim/nadamw.py, timm 1.0.31; {FAKE_RUN}",
)
