"""StableAdamW of pytorch-optimizer: two moments, and a Kahan compensation for 16-bit parameters."""

from __future__ import annotations

from vramlint.knowledge.optimizer import Optimizer, Temporary
from vramlint.knowledge.optimizers.parts import FAKE_RUN, keeps_with_kahan, steps

OPTIMIZER = Optimizer(
    names=("pytorch_optimizer.StableAdamW",),
    states=keeps_with_kahan("exp_avg", "exp_avg_sq"),
    temporaries=steps(foreach=Temporary(group=1)),
    default="foreach",
    citation=f"pytorch-optimizer 4.1.0; {FAKE_RUN}, fp32 parameters",
)
