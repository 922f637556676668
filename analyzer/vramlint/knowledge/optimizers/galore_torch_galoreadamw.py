"""GaLore's AdamW: a projector and two moments of the projected gradient."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vramlint.knowledge.optimizer import Implementation, Optimizer, Parameter, State, Temporary, Variant
from vramlint.knowledge.optimizers.parts import FAKE_RUN, low_rank, low_rank_bytes

if TYPE_CHECKING:
    from collections.abc import Mapping


def _states(parameter: Parameter, variant: Variant) -> tuple[State, ...]:
    return low_rank(parameter, variant.rank, "exp_avg", "exp_avg_sq")


def _temporaries(variant: Variant) -> Mapping[Implementation, Temporary]:
    """Two full copies and three projected ones; the decomposition now and then is not counted."""

    def projected(parameter: Parameter) -> int:
        return 3 * low_rank_bytes(parameter, variant.rank)

    return {"for-loop": Temporary(tensor=2, besides=projected)}


OPTIMIZER = Optimizer(
    names=("galore_torch.GaLoreAdamW", "galore_torch.adamw.AdamW"),
    states=_states,
    temporaries=_temporaries,
    default="for-loop",
    citation=f"galore_torch/adamw.py, galore-torch 1.0; {FAKE_RUN}",
    states_between_updates=True,
)
