"""Muon of timm: one momentum buffer for matrices, NAdamW for the rest."""

from __future__ import annotations

from vramlint.knowledge.optimizer import Optimizer, Parameter, State, Temporary, Variant
from vramlint.knowledge.optimizers.parts import FAKE_RUN, like, step_counts, steps


def _states(parameter: Parameter, variant: Variant) -> tuple[State, ...]:
    if len(parameter.shape) > 1:
        return like(parameter, "momentum_buffer")
    return (*like(parameter, "exp_avg", "exp_avg_sq"), *step_counts(variant, "step"))


def _newton_schulz(parameter: Parameter) -> int:
    """The bf16 iterate twice, and two bf16 Gram matrices of the short side."""
    *_, rows, columns = (1, 1, *parameter.shape)
    return 2 * 2 * parameter.elements + 2 * 2 * min(rows, columns) ** 2


OPTIMIZER = Optimizer(
    names=("timm.optim.Muon", "timm.optim.muon.Muon", "timm.optim.create_optimizer_v2(opt=muon)"),
    states=_states,
    temporaries=steps(for_loop=Temporary(tensor=1, besides=_newton_schulz)),
    default="for-loop",
    citation=f"timm/optim/muon.py, timm 1.0.31; {FAKE_RUN}",
)
