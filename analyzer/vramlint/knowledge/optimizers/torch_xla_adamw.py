"""AdamW of torch-xla: two moments in the dtype of the parameter."""

from __future__ import annotations

from vramlint.knowledge.optimizer import Optimizer
from vramlint.knowledge.optimizers.parts import NOTHING, keeps, steps

OPTIMIZER = Optimizer(
    names=("torch_xla.amp.syncfree.AdamW",),
    states=keeps("exp_avg", "exp_avg_sq"),
    temporaries=steps(for_loop=NOTHING),
    default="for-loop",
    citation="torch_xla/amp/syncfree/adamw.py, by its documentation, neither opened nor run; XLA plans the temporaries",
)
