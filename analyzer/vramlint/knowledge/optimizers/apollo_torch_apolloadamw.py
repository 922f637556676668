"""APOLLO's AdamW: a random projector and two moments of the projected gradient."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vramlint.knowledge.optimizer import Implementation, Optimizer, Temporary, Variant
from vramlint.knowledge.optimizers.parts import projected_copies, projected_moments

if TYPE_CHECKING:
    from collections.abc import Mapping


def _temporaries(variant: Variant) -> Mapping[Implementation, Temporary]:
    """Two full copies and three projected ones; the decomposition now and then is not counted."""
    return {"for-loop": projected_copies(variant, 2)}


OPTIMIZER = Optimizer(
    names=("apollo_torch.APOLLOAdamW", "apollo_torch.apollo.AdamW"),
    states=projected_moments,
    temporaries=_temporaries,
    default="for-loop",
    citation=(
        "apollo_torch/apollo.py, apollo-torch 1.0.3; temporaries: measured on a 512 by 512 "
        "parameter of rank 128, 2.75 copies"
    ),
    states_between_updates=True,
)
