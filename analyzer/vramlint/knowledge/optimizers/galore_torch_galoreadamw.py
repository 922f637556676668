"""GaLore's AdamW: a projector and two moments of the projected gradient."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vramlint.knowledge.optimizer import Implementation, Optimizer, Temporary, Variant
from vramlint.knowledge.optimizers.parts import FAKE_RUN, projected_copies, projected_moments

if TYPE_CHECKING:
    from collections.abc import Mapping


def _temporaries(variant: Variant) -> Mapping[Implementation, Temporary]:
    """Two full copies and three projected ones; the decomposition now and then is not counted."""
    return {"for-loop": projected_copies(variant, 2)}


OPTIMIZER = Optimizer(
    names=("galore_torch.GaLoreAdamW", "galore_torch.adamw.AdamW"),
    states=projected_moments,
    temporaries=_temporaries,
    default="for-loop",
    citation=f"galore_torch/adamw.py, galore-torch 1.0; {FAKE_RUN}",
    states_between_updates=True,
)
