"""AdaFactor of pytorch-optimizer: a bf16 momentum, and row and column factors."""

from __future__ import annotations

from vramlint.knowledge.optimizer import Optimizer, Parameter, State, Temporary, Variant
from vramlint.knowledge.optimizers.parts import FAKE_RUN, factored, like, steps


def _states(parameter: Parameter, _: Variant) -> tuple[State, ...]:
    return (*like(parameter, "exp_avg", bits=16), *factored(parameter, "exp_avg_sq"))


OPTIMIZER = Optimizer(
    names=("pytorch_optimizer.AdaFactor",),
    states=_states,
    temporaries=steps(foreach=Temporary(group=2.5)),
    default="foreach",
    citation=f"pytorch-optimizer 4.1.0; {FAKE_RUN}, fp32 parameters (1 copy suffices for bf16)",
)
