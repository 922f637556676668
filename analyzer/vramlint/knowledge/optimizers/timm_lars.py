"""LARS of timm: nothing, or a momentum buffer in the dtype of the parameter."""

from __future__ import annotations

from vramlint.knowledge.optimizer import Optimizer, Parameter, State, Variant
from vramlint.knowledge.optimizers.parts import FAKE_RUN, NOTHING, like, steps


def _states(parameter: Parameter, variant: Variant) -> tuple[State, ...]:
    return like(parameter, "momentum_buffer") if variant.momentum else ()


OPTIMIZER = Optimizer(
    names=("timm.optim.Lars", "timm.optim.lars.Lars", "timm.optim.create_optimizer_v2(opt=lars)"),
    states=_states,
    temporaries=steps(for_loop=NOTHING),
    default="for-loop",
    citation=f"timm/optim/lars.py, timm 1.0.31; {FAKE_RUN}",
    states_between_updates=True,
)
