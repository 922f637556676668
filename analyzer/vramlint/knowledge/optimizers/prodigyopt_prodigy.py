"""Prodigy: two moments, the starting point and a running sum."""

from __future__ import annotations

from vramlint.knowledge.optimizer import Optimizer, Temporary
from vramlint.knowledge.optimizers.parts import FAKE_RUN, keeps, steps

OPTIMIZER = Optimizer(
    names=("prodigyopt.Prodigy", "prodigyopt.prodigy.Prodigy"),
    states=keeps("s", "p0", "exp_avg", "exp_avg_sq"),
    temporaries=steps(for_loop=Temporary(tensor=1, previous=1)),
    default="for-loop",
    citation=f"prodigyopt/prodigy.py, prodigyopt 1.1.2; {FAKE_RUN}",
    states_between_updates=True,
)
