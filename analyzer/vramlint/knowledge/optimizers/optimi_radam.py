"""RAdam of optimi: two moments, and a Kahan compensation for 16-bit parameters."""

from __future__ import annotations

from vramlint.knowledge.optimizer import Optimizer
from vramlint.knowledge.optimizers.parts import FAKE_RUN, NOTHING, keeps_with_kahan, steps

OPTIMIZER = Optimizer(
    names=("optimi.RAdam",),
    states=keeps_with_kahan("exp_avg", "exp_avg_sq"),
    temporaries=steps(for_loop=NOTHING, foreach=NOTHING, fused=NOTHING),
    default="fused",
    citation=(
        "optimi, torch-optimi 0.3.3; Triton kernels (fused) are the default on CUDA and work in "
        f"place; {FAKE_RUN}"
    ),
)
