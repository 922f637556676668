"""Schedule-free SGD: the base point."""

from __future__ import annotations

from vramlint.knowledge.optimizer import Optimizer
from vramlint.knowledge.optimizers.parts import FAKE_RUN, NOTHING, keeps, steps

OPTIMIZER = Optimizer(
    names=("schedulefree.SGDScheduleFree",),
    states=keeps("z"),
    temporaries=steps(foreach=NOTHING, for_loop=NOTHING),
    default="foreach",
    citation=f"schedulefree, schedulefree 1.4.1; {FAKE_RUN}",
)
