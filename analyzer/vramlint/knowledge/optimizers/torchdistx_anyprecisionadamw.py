"""AnyPrecisionAdamW: fp32 moments through the Trainer, and a 16-bit compensation on request."""

from __future__ import annotations

from vramlint.knowledge.optimizer import Optimizer, Parameter, State, Temporary, Variant
from vramlint.knowledge.optimizers.parts import like, steps


def _states(parameter: Parameter, variant: Variant) -> tuple[State, ...]:
    compensation = like(parameter, "compensation", bits=16) if variant.kahan_sum else ()
    return (*like(parameter, "exp_avg", "exp_avg_sq", bits=32), *compensation)


OPTIMIZER = Optimizer(
    names=(
        "torchdistx.optimizers.AnyPrecisionAdamW",
        "torchdistx.optimizers.anyprecision_optimizer.AnyPrecisionAdamW",
    ),
    states=_states,
    temporaries=steps(for_loop=Temporary(tensor=2, previous=1)),
    default="for-loop",
    citation=(
        "torchdistx/optimizers/anyprecision_optimizer.py, by its documentation, not run; moments are fp32 as the "
        "Trainer of transformers sets them"
    ),
)
