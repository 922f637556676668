"""Lion of optimi: one momentum, and a Kahan compensation for 16-bit parameters."""

from __future__ import annotations

from vramlint.knowledge.optimizer import Optimizer, Temporary
from vramlint.knowledge.optimizers.parts import FAKE_RUN, NOTHING, keeps_with_kahan, steps

OPTIMIZER = Optimizer(
    names=("optimi.Lion",),
    states=keeps_with_kahan("exp_avg"),
    temporaries=steps(for_loop=Temporary(tensor=1), foreach=Temporary(group=1), fused=NOTHING),
    default="fused",
    citation=(
        "optimi, torch-optimi 0.3.3; Triton kernels (fused) are the default on CUDA and work in "
        f"place; {FAKE_RUN}"
    ),
)
