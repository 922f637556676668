"""GaLore's 8-bit AdamW: a projector and two 8-bit moments of the projected gradient."""

from __future__ import annotations

from vramlint.knowledge.optimizer import Optimizer, Parameter, State, Temporary, Variant
from vramlint.knowledge.optimizers.parts import blockwise, low_rank, steps

_MOMENTS = blockwise("state1", "state2")


def _states(parameter: Parameter, variant: Variant) -> tuple[State, ...]:
    projector, *moments = low_rank(parameter, variant.rank, "exp_avg", "exp_avg_sq")
    if projector.name != "ortho_matrix":
        return _MOMENTS(parameter, variant)
    return (projector, *_MOMENTS(Parameter(moments[0].shape, parameter.bits), variant))


OPTIMIZER = Optimizer(
    names=("galore_torch.GaLoreAdamW8bit", "galore_torch.adamw8bit.AdamW8bit"),
    states=_states,
    temporaries=steps(for_loop=Temporary(tensor=2)),
    default="for-loop",
    citation=(
        "galore_torch/adamw8bit.py, galore-torch 1.0, read, not run; two full copies of the "
        "gradient as in its AdamW"
    ),
    states_between_updates=True,
)
