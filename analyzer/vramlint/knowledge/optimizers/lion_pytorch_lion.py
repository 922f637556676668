"""Lion of lion-pytorch: one momentum in the dtype of the parameter."""

from __future__ import annotations

from vramlint.knowledge.optimizer import Optimizer, Temporary
from vramlint.knowledge.optimizers.parts import FAKE_RUN, keeps, steps

OPTIMIZER = Optimizer(
    names=("lion_pytorch.Lion", "lion_pytorch.lion_pytorch.Lion"),
    states=keeps("exp_avg"),
    temporaries=steps(for_loop=Temporary(tensor=2)),
    default="for-loop",
    citation=f"lion_pytorch/lion_pytorch.py, lion-pytorch 0.2.5; {FAKE_RUN}",
    states_between_updates=True,
)
