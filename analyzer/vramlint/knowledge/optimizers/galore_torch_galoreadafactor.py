"""GaLore's Adafactor: an fp32 projector and factors of the projected gradient."""

from __future__ import annotations

from vramlint.knowledge.optimizer import Optimizer, Parameter, State, Temporary, Variant
from vramlint.knowledge.optimizers.parts import factored, low_rank, scalars, steps


def _states(parameter: Parameter, variant: Variant) -> tuple[State, ...]:
    in_32_bit = Parameter(parameter.shape, 32)
    projector, *moments = low_rank(in_32_bit, variant.rank, "exp_avg_sq")
    if not moments:
        return (*factored(in_32_bit, "exp_avg_sq"), *scalars("RMS"))
    return (projector, *factored(Parameter(moments[0].shape, 32), "exp_avg_sq"), *scalars("RMS"))


OPTIMIZER = Optimizer(
    names=("galore_torch.GaLoreAdafactor", "galore_torch.adafactor.Adafactor"),
    states=_states,
    temporaries=steps(for_loop=Temporary(tensor=2.5, bits=32)),
    default="for-loop",
    citation=(
        "galore_torch/adafactor.py, galore-torch 1.0; temporaries: measured on a 512 by 512 "
        "parameter of rank 128"
    ),
    states_between_updates=True,
)
