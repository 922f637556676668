"""Sophia-H of pytorch-optimizer: a momentum and a diagonal Hessian estimate."""

from __future__ import annotations

from vramlint.knowledge.optimizer import Optimizer, Temporary
from vramlint.knowledge.optimizers.parts import keeps, steps

OPTIMIZER = Optimizer(
    names=("pytorch_optimizer.SophiaH",),
    states=keeps("momentum", "hessian_moment"),
    temporaries=steps(for_loop=Temporary(tensor=3, previous=1)),
    default="for-loop",
    citation=(
        "pytorch-optimizer 4.1.0, read, not run; the update is counted as that of Sophia-G; its "
        "Hessian needs a double backward, which is not counted"
    ),
)
