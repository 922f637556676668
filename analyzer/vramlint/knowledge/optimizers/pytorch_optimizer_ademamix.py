"""AdEMAMix of pytorch-optimizer: three averages in the dtype of the parameter."""

from __future__ import annotations

from vramlint.knowledge.optimizer import Optimizer, Temporary
from vramlint.knowledge.optimizers.parts import FAKE_RUN, keeps, steps

OPTIMIZER = Optimizer(
    names=("pytorch_optimizer.AdEMAMix",),
    states=keeps("exp_avg", "exp_avg_sq", "exp_avg_slow"),
    temporaries=steps(foreach=Temporary(group=2)),
    default="foreach",
    citation=f"pytorch-optimizer 4.1.0; {FAKE_RUN}",
)
