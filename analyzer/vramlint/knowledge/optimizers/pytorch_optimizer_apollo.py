"""APOLLO of pytorch-optimizer: plain moments, or a projector and projected moments with a rank."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vramlint.knowledge.optimizer import Implementation, Optimizer, Temporary, Variant
from vramlint.knowledge.optimizers.parts import FAKE_RUN, projected_copies, projected_moments

if TYPE_CHECKING:
    from collections.abc import Mapping


def _temporaries(variant: Variant) -> Mapping[Implementation, Temporary]:
    """Without a rank a foreach AdamW; with one, a full copy and three projected ones."""
    if variant.rank is None:
        return {"foreach": Temporary(group=2)}
    return {"foreach": projected_copies(variant, 1)}


OPTIMIZER = Optimizer(
    names=("pytorch_optimizer.APOLLO",),
    states=projected_moments,
    temporaries=_temporaries,
    default="foreach",
    citation=f"pytorch-optimizer 4.1.0; {FAKE_RUN}",
)
