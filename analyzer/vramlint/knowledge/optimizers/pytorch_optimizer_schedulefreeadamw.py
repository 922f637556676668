"""Schedule-free AdamW of pytorch-optimizer: the base point and a second moment."""

from __future__ import annotations

from vramlint.knowledge.optimizer import Optimizer, Temporary
from vramlint.knowledge.optimizers.parts import FAKE_RUN, keeps, steps

OPTIMIZER = Optimizer(
    names=("pytorch_optimizer.ScheduleFreeAdamW",),
    states=keeps("z", "exp_avg_sq"),
    temporaries=steps(foreach=Temporary(group=2)),
    default="foreach",
    citation=f"pytorch-optimizer 4.1.0; {FAKE_RUN}",
)
