"""Fully sharded data parallel: torch's FSDP wrapper and `fully_shard`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from vramlint.facts.script import is_from
from vramlint.facts.setting import Known, Setting, Unknown

if TYPE_CHECKING:
    from collections.abc import Mapping

    from vramlint.frontends.base import Context, Training

_KINDS = {"FullyShardedDataParallel": "fsdp", "fully_shard": "fsdp2"}


def settings(context: Context, _training: Training) -> Mapping[str, Setting[Any]]:
    """Find the wrapper; how many GPUs share the states only the launch line or the options say."""
    for call in context.script.calls("FullyShardedDataParallel", "FSDP", "fully_shard"):
        names = context.script.callee(call)
        kind = next((kind for name, kind in _KINDS.items() if is_from(names, {"torch"}, {name})), None)
        if kind is None:
            continue
        origin = context.script.origin(call.node, call.place)
        if context.world_size is None:
            return {
                "sharding": Unknown(
                    "FSDP divides the states over the GPUs; say how many with --world-size", origin
                )
            }
        return {"sharding": Known({"kind": kind, "world_size": context.world_size.value}, origin)}
    return {}
