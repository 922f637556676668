"""A plan as a run: every key is a setting that comes from the plan, an option, or a default."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from vramlint.facts.setting import Known, Origin
from vramlint.plan.defaults import complete
from vramlint.plan.names import REPORTED
from vramlint.plan.run import Run
from vramlint.source.spans import Position, Span

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from vramlint.plan.document import Plan

_STANDS_FOR = {"world_size": "sharding", "offload": "sharding", "trainable": "frozen"}
_UNSHARDED = {"kind": "none", "world_size": 1}


def plan_run(plan: Plan, path: str, overridden: Collection[str] = ()) -> tuple[Run, Plan]:
    """Return the run that a plan spells out, and the plan with all its defaults.

    `overridden` are the keys that options set; `path` is the plan's file, for its origins.
    """
    completed, added = complete(plan)
    overridden = {*overridden, *(_STANDS_FOR[name] for name in overridden if name in _STANDS_FOR)}
    values = completed.model_dump(mode="json", by_alias=True, exclude_none=False)
    place = Span(path, Position(1, 0), Position(1, 0))
    settings = {}
    for name in dict.fromkeys((*REPORTED, *values)):
        value = _value(name, values)
        if name in added:
            settings[name] = Known(value, added[name].origin)
        elif name in overridden:
            settings[name] = Known(value, Origin("override", "command line"))
        elif name in plan.model_fields_set or _STANDS_FOR.get(name) in plan.model_fields_set:
            settings[name] = Known(value, Origin("plan", f"the plan's {name}"))
        else:
            settings[name] = Known(value, Origin("framework-default", _default_of(name)))
    return Run(completed.mode, (completed.framework,), place, settings), completed


def _value(name: str, values: Mapping[str, Any]) -> Any:
    """Return a setting's value: the plan's key without its nulls, or what a shorthand stands for."""
    sharding = values.get("sharding") or {}
    if name == "world_size":
        return sharding.get("world_size", 1)
    if name == "trainable":
        return "all" if not values["frozen"] else f"all but {', '.join(values['frozen'])}"
    if name == "offload":
        parts = {part: sharding.get(f"offload_{part}") for part in ("optimizer", "param")}
        return {part: where for part, where in parts.items() if where} or None
    value = _without_nulls(values[name])
    if name == "sharding" and value is not None and value.items() >= _UNSHARDED.items():
        return None
    return value


def _without_nulls(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: inner for key, inner in value.items() if inner is not None}
    if isinstance(value, list):
        return [_without_nulls(inner) for inner in value]
    return value


def _default_of(name: str) -> str:
    return {"world_size": "one GPU", "trainable": "no parameter is frozen"}.get(name, "not in the plan")
