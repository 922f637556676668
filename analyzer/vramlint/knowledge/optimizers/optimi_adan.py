"""Adan of optimi: three averages and the previous gradient."""

from __future__ import annotations

from vramlint.knowledge.optimizer import Optimizer, Temporary
from vramlint.knowledge.optimizers.parts import FAKE_RUN, NOTHING, keeps, steps

OPTIMIZER = Optimizer(
    names=("optimi.Adan",),
    states=keeps("exp_avg", "exp_avg_diff", "exp_avg_sq", "prev_grad"),
    temporaries=steps(for_loop=Temporary(tensor=1), foreach=NOTHING, fused=NOTHING),
    default="fused",
    citation=(
        "optimi, torch-optimi 0.3.3; Triton kernels (fused) are the default on CUDA and work in "
        f"place; {FAKE_RUN}"
    ),
)
