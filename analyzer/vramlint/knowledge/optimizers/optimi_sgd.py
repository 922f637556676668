"""SGD of optimi: nothing, or a momentum; a Kahan compensation for 16-bit parameters."""

from __future__ import annotations

from vramlint.knowledge.optimizer import Optimizer, Parameter, State, Variant
from vramlint.knowledge.optimizers.parts import FAKE_RUN, NOTHING, keeps_with_kahan, steps


def _states(parameter: Parameter, variant: Variant) -> tuple[State, ...]:
    moments = ("exp_avg",) if variant.momentum else ()
    return keeps_with_kahan(*moments)(parameter, variant)


OPTIMIZER = Optimizer(
    names=("optimi.SGD",),
    states=_states,
    temporaries=steps(for_loop=NOTHING, foreach=NOTHING, fused=NOTHING),
    default="fused",
    citation=(
        "optimi, torch-optimi 0.3.3; Triton kernels (fused) are the default on CUDA and work in "
        f"place; {FAKE_RUN}"
    ),
)
