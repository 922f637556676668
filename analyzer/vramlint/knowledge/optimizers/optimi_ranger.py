"""Ranger of optimi: two moments and the slow weights."""

from __future__ import annotations

from vramlint.knowledge.optimizer import Optimizer
from vramlint.knowledge.optimizers.parts import FAKE_RUN, NOTHING, keeps_with_kahan, steps

OPTIMIZER = Optimizer(
    names=("optimi.Ranger",),
    states=keeps_with_kahan("exp_avg", "exp_avg_sq", "la_param"),
    temporaries=steps(for_loop=NOTHING, foreach=NOTHING, fused=NOTHING),
    default="fused",
    citation=(
        "optimi, torch-optimi 0.3.3; Triton kernels (fused) are the default on CUDA and work in "
        f"place; {FAKE_RUN}"
    ),
)
