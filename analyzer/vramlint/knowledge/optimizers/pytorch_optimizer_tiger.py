"""Tiger of pytorch-optimizer: one momentum in the dtype of the parameter."""

from __future__ import annotations

from vramlint.knowledge.optimizer import Optimizer, Temporary
from vramlint.knowledge.optimizers.parts import FAKE_RUN, keeps, steps

OPTIMIZER = Optimizer(
    names=("pytorch_optimizer.Tiger",),
    states=keeps("exp_avg"),
    temporaries=steps(foreach=Temporary(group=1)),
    default="foreach",
    citation=f"pytorch-optimizer 4.1.0; {FAKE_RUN}",
)
