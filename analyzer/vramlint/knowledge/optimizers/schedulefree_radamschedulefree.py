"""Schedule-free RAdam: the base point and a second moment."""

from __future__ import annotations

from vramlint.knowledge.optimizer import Optimizer, Temporary
from vramlint.knowledge.optimizers.parts import FAKE_RUN, keeps, steps

OPTIMIZER = Optimizer(
    names=("schedulefree.RAdamScheduleFree",),
    states=keeps("z", "exp_avg_sq"),
    temporaries=steps(foreach=Temporary(group=1), for_loop=Temporary(tensor=1, previous=1)),
    default="foreach",
    citation=f"schedulefree, schedulefree 1.4.1; {FAKE_RUN}",
)
