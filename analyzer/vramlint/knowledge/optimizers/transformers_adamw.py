"""AdamW of transformers, the Trainer's default until 4.31: a plain Python loop."""

from __future__ import annotations

from vramlint.knowledge.optimizer import Optimizer, Temporary
from vramlint.knowledge.optimizers.parts import keeps, steps

OPTIMIZER = Optimizer(
    names=("transformers.AdamW", "transformers.optimization.AdamW"),
    states=keeps("exp_avg", "exp_avg_sq"),
    temporaries=steps(for_loop=Temporary(tensor=2, previous=1)),
    default="for-loop",
    citation=(
        "transformers/optimization.py, transformers 4.31; removed between 4.45.2 and 4.50.3; "
        "three copies of the largest tensor at most"
    ),
    states_between_updates=True,
)
