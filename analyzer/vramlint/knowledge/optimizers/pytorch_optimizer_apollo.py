"""APOLLO of pytorch-optimizer: plain moments, or a projector and projected moments with a rank."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vramlint.knowledge.optimizer import Implementation, Optimizer, Parameter, State, Temporary, Variant
from vramlint.knowledge.optimizers.parts import FAKE_RUN, low_rank, low_rank_bytes

if TYPE_CHECKING:
    from collections.abc import Mapping


def _states(parameter: Parameter, variant: Variant) -> tuple[State, ...]:
    return low_rank(parameter, variant.rank, "exp_avg", "exp_avg_sq")


def _temporaries(variant: Variant) -> Mapping[Implementation, Temporary]:
    """Without a rank a foreach AdamW; with one, a full copy and three projected ones."""
    if variant.rank is None:
        return {"foreach": Temporary(group=2)}

    def projected(parameter: Parameter) -> int:
        return 3 * low_rank_bytes(parameter, variant.rank)

    return {"foreach": Temporary(tensor=1, besides=projected)}


OPTIMIZER = Optimizer(
    names=("pytorch_optimizer.APOLLO",),
    states=_states,
    temporaries=_temporaries,
    default="foreach",
    citation=f"pytorch-optimizer 4.1.0; {FAKE_RUN}",
)
