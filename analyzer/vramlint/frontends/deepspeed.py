"""DeepSpeed: `deepspeed.initialize(model, config)`; its configuration is not read yet."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from vramlint.facts.script import is_from
from vramlint.facts.setting import Setting, Unknown

if TYPE_CHECKING:
    from collections.abc import Mapping

    from vramlint.frontends.base import Context, Training

_DECIDES = ("sharding", "mixed_precision", "optimizer", "gradient_accumulation_steps")


def settings(context: Context, _training: Training) -> Mapping[str, Setting[Any]]:
    """Mark what DeepSpeed's configuration decides as unknown: a plain loop's own words do not count."""
    for call in context.script.calls("initialize"):
        if is_from(context.script.callee(call), {"deepspeed"}, {"initialize"}):
            origin = context.script.origin(call.node, call.place)
            return {
                key: Unknown(
                    f"deepspeed.initialize decides, and its configuration is not read yet; use --set {key}=…",
                    origin,
                )
                for key in _DECIDES
            }
    return {}
