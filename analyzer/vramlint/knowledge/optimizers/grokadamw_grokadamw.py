"""GrokAdamW: three averages kept in host memory and copied to the GPU tensor by tensor."""

from __future__ import annotations

from vramlint.knowledge.optimizer import Optimizer, Parameter, State, Temporary, Variant
from vramlint.knowledge.optimizers.parts import FAKE_RUN, steps


def _states(parameter: Parameter, _: Variant) -> tuple[State, ...]:
    names = ("exp_avg", "exp_avg_sq", "grok_ema")
    return tuple(State(name, parameter.shape, parameter.bits, "cpu") for name in names)


OPTIMIZER = Optimizer(
    names=("grokadamw.GrokAdamW",),
    states=_states,
    temporaries=steps(for_loop=Temporary(tensor=5, previous=1)),
    default="for-loop",
    citation=f"grokadamw/grokadamw.py, grokadamw 0.1.2; {FAKE_RUN}",
)
