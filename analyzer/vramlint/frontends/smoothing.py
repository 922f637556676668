"""Label smoothing in a loop of one's own: `F.cross_entropy(…, label_smoothing=0.1)`, `nn.CrossEntropyLoss(…)`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from vramlint.facts.setting import Known
from vramlint.facts.values import is_scalar

if TYPE_CHECKING:
    from collections.abc import Mapping

    from vramlint.facts.setting import Setting
    from vramlint.frontends.base import Context

_POSITIONS: Mapping[str, int | None] = {"cross_entropy": None, "CrossEntropyLoss": 5}


def smoothed(context: Context) -> dict[str, Setting[Any]]:
    """Return the loss of a script that smooths labels in one of its cross-entropies, nothing where none does."""
    for name, position in _POSITIONS.items():
        for call in context.script.calls(name):
            found = context.script.argument(call, "label_smoothing", position)
            if isinstance(found, Known) and is_scalar(found.value) and found.value:
                return {"loss": Known("label-smoothing", found.origin)}
    return {}
