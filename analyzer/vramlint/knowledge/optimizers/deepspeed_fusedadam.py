"""Fused Adam of DeepSpeed: two moments in the dtype of the tensors it is given (fp32 under ZeRO)."""

from __future__ import annotations

from vramlint.knowledge.optimizer import Optimizer
from vramlint.knowledge.optimizers.parts import NOTHING, keeps, steps

OPTIMIZER = Optimizer(
    names=("deepspeed.ops.adam.FusedAdam", "deepspeed.ops.adam.fused_adam.FusedAdam"),
    states=keeps("exp_avg", "exp_avg_sq"),
    temporaries=steps(fused=NOTHING),
    default="fused",
    citation="deepspeedai/DeepSpeed@edaa722 deepspeed/ops/adam/fused_adam.py:155-157, read, not run",
)
