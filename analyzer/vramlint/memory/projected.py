"""Which weights GaLore and APOLLO project: the linear layers that `optim_target_modules` names.

transformers trainer_optimizer.py (_setup_low_rank_optimizer) and pytorch_utils.py: a list names parts of module
names, a text is a whole regular expression, "all-linear" takes every linear layer. The Trainer asks for them; where a
plan does not say, the layers of attention and MLP are taken, which the documentation's examples name.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from vramlint.memory.families.base import Model

_MATRIX = 2
_IN_A_STACK = re.compile(r"\.\d+\.")


def projected_by(model: Model, targets: tuple[str, ...] | str | None) -> frozenset[int]:
    """Return the identities of the trained weights that are projected."""
    return frozenset(
        id(parameter)
        for name, parameter in model.named_parameters()
        if len(parameter.shape) == _MATRIX
        and parameter.trainable
        and not parameter.is_embedding
        and _matches(name.removesuffix(".weight"), targets)
    )


def _matches(name: str, targets: tuple[str, ...] | str | None) -> bool:
    if targets is None:
        return _IN_A_STACK.search(name) is not None
    if isinstance(targets, str):
        return targets.replace("_", "-") == "all-linear" or re.fullmatch(targets, name) is not None
    return any(target in name for target in targets)
