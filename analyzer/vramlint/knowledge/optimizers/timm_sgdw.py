"""SGD of timm with decoupled decay: nothing, or a momentum buffer."""

from __future__ import annotations

from vramlint.knowledge.optimizer import Optimizer, Parameter, State, Temporary, Variant
from vramlint.knowledge.optimizers.parts import FAKE_RUN, like, steps


def _states(parameter: Parameter, variant: Variant) -> tuple[State, ...]:
    return like(parameter, "momentum_buffer") if variant.momentum else ()


OPTIMIZER = Optimizer(
    names=("timm.optim.SGDW", "timm.optim.sgdw.SGDW", "timm.optim.create_optimizer_v2(opt=sgdw)"),
    states=_states,
    temporaries=steps(for_loop=Temporary(tensor=1)),
    default="for-loop",
    citation=f"timm/optim/sgdw.py, timm 1.0.31; {FAKE_RUN}",
)
