"""Sophia-G: a momentum and a diagonal Hessian estimate in the dtype of the parameter."""

from __future__ import annotations

from vramlint.knowledge.optimizer import Optimizer, Temporary
from vramlint.knowledge.optimizers.parts import keeps_with_step, steps

OPTIMIZER = Optimizer(
    names=("sophia.SophiaG", "sophia.sophia.SophiaG"),
    states=keeps_with_step("exp_avg", "hessian"),
    temporaries=steps(for_loop=Temporary(tensor=3, previous=1)),
    default="for-loop",
    citation="Liuhong99/Sophia sophia.py, counted by hand from its update, not run",
)
