"""CAME: an fp32 first moment, and factored second moments of gradient and residual."""

from __future__ import annotations

from vramlint.knowledge.optimizer import Optimizer, Parameter, State, Temporary, Variant
from vramlint.knowledge.optimizers.parts import FAKE_RUN, factored, like, scalars, steps


def _states(parameter: Parameter, _: Variant) -> tuple[State, ...]:
    in_32_bit = Parameter(parameter.shape, 32)
    residual = factored(in_32_bit, "exp_avg_res") if len(parameter.shape) > 1 else ()
    return (*like(in_32_bit, "exp_avg"), *factored(in_32_bit, "exp_avg_sq"), *residual, *scalars("RMS"))


def _upcast(parameter: Parameter) -> int:
    return 4 * parameter.elements if parameter.bits < 32 else 0  # noqa: PLR2004  fp32 copy of a 16-bit gradient


OPTIMIZER = Optimizer(
    names=("came_pytorch.CAME", "came_pytorch.CAME.CAME"),
    states=_states,
    temporaries=steps(for_loop=Temporary(tensor=3, previous=2, bits=32, besides=_upcast)),
    default="for-loop",
    citation=f"came_pytorch/CAME.py, came-pytorch 0.1.3; {FAKE_RUN}",
    states_between_updates=True,
)
