"""D-Adaptation's Adam: two moments and a running sum."""

from __future__ import annotations

from vramlint.knowledge.optimizer import Optimizer, Temporary
from vramlint.knowledge.optimizers.parts import FAKE_RUN, keeps, steps

OPTIMIZER = Optimizer(
    names=("dadaptation.DAdaptAdam", "dadaptation.dadapt_adam.DAdaptAdam"),
    states=keeps("s", "exp_avg", "exp_avg_sq"),
    temporaries=steps(for_loop=Temporary(tensor=2)),
    default="for-loop",
    citation=f"dadaptation/dadapt_adam.py, dadaptation 3.2; {FAKE_RUN}",
    states_between_updates=True,
)
