"""How many GPUs share the states: what the launch or an option says, else the usual numbers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from vramlint.facts.setting import Known, OneOf, Setting

if TYPE_CHECKING:
    from collections.abc import Mapping

    from vramlint.facts.setting import Origin
    from vramlint.frontends.base import Context

# The sizes of nodes that are rented; the likeliest first.
_USUAL = (8, 4, 2)


def sharded(context: Context, spec: Mapping[str, Any], origin: Origin) -> Setting[Any]:
    """Return a sharding with its number of GPUs; one of the usual numbers where nothing says it."""
    if context.world_size is not None:
        return Known({**spec, "world_size": context.world_size.value}, origin)
    known = tuple(Known({**spec, "world_size": count}, origin) for count in _USUAL)
    return OneOf(known, "nothing says over how many GPUs the states are divided; say it with --world-size")
