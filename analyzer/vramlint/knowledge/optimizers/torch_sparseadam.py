"""SparseAdam of torch: dense moments although the gradients are sparse."""

from __future__ import annotations

from vramlint.knowledge.optimizer import Optimizer, Temporary
from vramlint.knowledge.optimizers.parts import FAKE_RUN, keeps_with_step, steps

OPTIMIZER = Optimizer(
    names=("torch.optim.SparseAdam", "torch.optim.sparse_adam.SparseAdam"),
    states=keeps_with_step("exp_avg", "exp_avg_sq"),
    temporaries=steps(for_loop=Temporary(tensor=2, previous=1)),
    default="for-loop",
    citation=f"torch/optim/sparse_adam.py, torch 2.13.0; {FAKE_RUN}",
)
