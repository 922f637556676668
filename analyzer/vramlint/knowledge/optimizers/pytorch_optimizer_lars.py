"""LARS of pytorch-optimizer: one momentum in the dtype of the parameter."""

from __future__ import annotations

from vramlint.knowledge.optimizer import Optimizer
from vramlint.knowledge.optimizers.parts import FAKE_RUN, NOTHING, keeps, steps

OPTIMIZER = Optimizer(
    names=("pytorch_optimizer.LARS",),
    states=keeps("momentum_buffer"),
    temporaries=steps(for_loop=NOTHING),
    default="for-loop",
    citation=f"pytorch-optimizer 4.1.0; {FAKE_RUN}",
)
