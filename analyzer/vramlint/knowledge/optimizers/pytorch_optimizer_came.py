"""CAME of pytorch-optimizer: a momentum, and factored second moments of gradient and residual."""

from __future__ import annotations

from vramlint.knowledge.optimizer import Optimizer, Parameter, State, Temporary, Variant
from vramlint.knowledge.optimizers.parts import FAKE_RUN, factored, like, steps


def _states(parameter: Parameter, _: Variant) -> tuple[State, ...]:
    residual = factored(parameter, "exp_avg_res") if len(parameter.shape) > 1 else ()
    return (*like(parameter, "exp_avg"), *factored(parameter, "exp_avg_sq"), *residual)


OPTIMIZER = Optimizer(
    names=("pytorch_optimizer.CAME",),
    states=_states,
    temporaries=steps(foreach=Temporary(group=2)),
    default="foreach",
    citation=f"pytorch-optimizer 4.1.0; {FAKE_RUN}",
)
