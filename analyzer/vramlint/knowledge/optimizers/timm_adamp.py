"""AdamP of timm: two moments in the dtype of the parameter."""

from __future__ import annotations

from vramlint.knowledge.optimizer import Optimizer, Temporary
from vramlint.knowledge.optimizers.parts import FAKE_RUN, keeps, steps

OPTIMIZER = Optimizer(
    names=("timm.optim.AdamP", "timm.optim.adamp.AdamP", "timm.optim.create_optimizer_v2(opt=adamp)"),
    states=keeps("exp_avg", "exp_avg_sq"),
    temporaries=steps(for_loop=Temporary(tensor=5)),
    default="for-loop",
    citation=f"timm/optim/adamp.py, timm 1.0.31; {FAKE_RUN}",
    states_between_updates=True,
)
