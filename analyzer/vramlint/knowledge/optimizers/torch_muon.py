"""Muon of torch, for matrices only: one momentum buffer in the dtype of the parameter."""

from __future__ import annotations

from vramlint.knowledge.optimizer import Optimizer, Parameter, Temporary
from vramlint.knowledge.optimizers.parts import FAKE_RUN, keeps, steps


def _newton_schulz(parameter: Parameter) -> int:
    """The bf16 iterate twice, and two bf16 Gram matrices of the short side."""
    *_, rows, columns = (1, 1, *parameter.shape)
    return 2 * 2 * parameter.elements + 2 * 2 * min(rows, columns) ** 2


OPTIMIZER = Optimizer(
    names=("torch.optim.Muon", "torch.optim._muon.Muon"),
    states=keeps("momentum_buffer"),
    temporaries=steps(for_loop=Temporary(tensor=1, besides=_newton_schulz)),
    default="for-loop",
    citation=f"torch/optim/_muon.py, torch 2.13.0; {FAKE_RUN}",
)
