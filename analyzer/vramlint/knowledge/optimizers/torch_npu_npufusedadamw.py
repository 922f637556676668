"""Fused AdamW of torch-npu: two moments in the dtype of the parameter."""

from __future__ import annotations

from vramlint.knowledge.optimizer import Optimizer
from vramlint.knowledge.optimizers.parts import NOTHING, keeps, steps

OPTIMIZER = Optimizer(
    names=("torch_npu.optim.NpuFusedAdamW",),
    states=keeps("exp_avg", "exp_avg_sq"),
    temporaries=steps(fused=NOTHING),
    default="fused",
    citation="torch_npu/optim/npu_fused_adamw.py, not opened or run; its flattened copies are not counted",
)
