"""LOMO: no state; a gradient is used up inside backward."""

from __future__ import annotations

from vramlint.knowledge.optimizer import Optimizer, Temporary
from vramlint.knowledge.optimizers.parts import keeps, steps

OPTIMIZER = Optimizer(
    names=("lomo_optim.Lomo", "lomo_optim.lomo.Lomo"),
    states=keeps(),
    temporaries=steps(for_loop=Temporary(tensor=2, bits=32)),
    default="for-loop",
    citation=(
        "lomo_optim/lomo.py, lomo-optim 0.1.1, read, not run: fp32 copies of one gradient and one parameter"
    ),
    keeps_gradients=False,
)
