"""RAdam of torch: two moments in the dtype of the parameter."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vramlint.knowledge.optimizer import Implementation, Optimizer, Temporary, Variant
from vramlint.knowledge.optimizers.parts import FAKE_RUN, keeps_with_step

if TYPE_CHECKING:
    from collections.abc import Mapping


def _temporaries(variant: Variant) -> Mapping[Implementation, Temporary]:
    """A weight decay that is added to the gradient needs one more copy."""
    decay = 1 if variant.weight_decay else 0
    return {
        "foreach": Temporary(group=1),
        "for-loop": Temporary(tensor=2 + decay),
    }


OPTIMIZER = Optimizer(
    names=("torch.optim.RAdam", "torch.optim.radam.RAdam", "timm.optim.create_optimizer_v2(opt=radam)"),
    states=keeps_with_step("exp_avg", "exp_avg_sq"),
    temporaries=_temporaries,
    default="foreach",
    citation=f"torch/optim/radam.py, torch 2.13.0; {FAKE_RUN}",
)
