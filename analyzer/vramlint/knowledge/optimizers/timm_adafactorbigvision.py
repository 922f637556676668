"""Adafactor of timm as Big Vision has it: a bf16 momentum, and factors for large enough matrices."""

from __future__ import annotations

from vramlint.knowledge.optimizer import Optimizer, Parameter, State, Temporary, Variant
from vramlint.knowledge.optimizers.parts import FAKE_RUN, like, step_counts, steps

_SMALLEST_FACTORED = 16


def _states(parameter: Parameter, variant: Variant) -> tuple[State, ...]:
    momentum = like(parameter, "exp_avg", bits=16)
    return (*momentum, *_second_moment(parameter), *step_counts(variant, "step"))


def _second_moment(parameter: Parameter) -> tuple[State, ...]:
    """Factor along the two largest dimensions if the smaller of them has 16 elements."""
    sizes = sorted(parameter.shape)
    if len(sizes) < 2 or sizes[-2] < _SMALLEST_FACTORED:  # noqa: PLR2004  a vector has no rows
        return like(parameter, "exp_avg_sq")
    rest = parameter.elements // (sizes[-1] * sizes[-2])
    rows, columns = (rest * size for size in sizes[-2:])
    return (State("exp_avg_sq_r", (rows,), parameter.bits), State("exp_avg_sq_c", (columns,), parameter.bits))


OPTIMIZER = Optimizer(
    names=(
        "timm.optim.AdafactorBigVision",
        "timm.optim.adafactor_bv.AdafactorBigVision",
        "timm.optim.create_optimizer_v2(opt=adafactorbv)",
    ),
    states=_states,
    temporaries=steps(for_loop=Temporary(tensor=3, previous=1)),
    default="for-loop",
    citation=f"timm/optim/adafactor_bv.py, timm 1.0.31; {FAKE_RUN}",
)
