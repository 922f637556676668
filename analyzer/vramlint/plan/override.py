"""Overrides: `--set key=value` and `# vramlint: set key=value` laid over what was read."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from vramlint.facts.setting import Known, Origin, Setting
from vramlint.plan.names import SETTINGS, did_you_mean
from vramlint.plan.read import PlanError, read_plan

if TYPE_CHECKING:
    from vramlint.plan.document import Plan

# The key that a bare string sets inside an object.
_BARE = {"model": "id", "optimizer": "name", "quantization": "kind", "sharding": "kind", "lora": "kind"}
_ANY_MODEL = {"id": "any"}
_UNSHARDED = ({"world_size": 1}, {"kind": "none"}, {"kind": "none", "world_size": 1})
_MODEL_PARALLEL = ("tensor_parallel", "pipeline_parallel", "context_parallel", "expert_parallel")


def value_of(text: str) -> Any:
    """Return the value that a text spells: JSON, else the text itself."""
    try:
        return json.loads(text)
    except ValueError:
        return {"None": None, "True": True, "False": False}.get(text, text)


def override(
    settings: Mapping[str, Setting[Any]], key: str, value: object, origin: Origin
) -> dict[str, Setting[Any]]:
    """Return settings with one key replaced; `key` may be a dotted path into an object.

    Raises:
        PlanError: for a key that is no setting, or a value that the key cannot have.
    """
    first = key.partition(".")[0]
    if first not in SETTINGS:
        raise PlanError(f"unknown setting {first!r}{did_you_mean(first)}")
    changed = dict(settings)
    for path, item in _spelled_out(key, value):
        head, *rest = path.split(".")
        current = changed.get(head)
        known = current.value if isinstance(current, Known) else None
        whole = _placed(known, rest, _object(head, item) if not rest else item)
        changed[head] = Known(_checked(head, _kept(head, known, whole)), origin)
    if first in {"trainable", "offload", "world_size"}:
        changed[first] = Known(value, origin)
    return changed


def override_plan(plan: Plan, key: str, value: object) -> Plan:
    """Return a plan with one key replaced.

    Raises:
        PlanError: as for `override`.
    """
    data = plan.model_dump(exclude_unset=True, by_alias=True)
    first = key.partition(".")[0]
    if first not in SETTINGS:
        raise PlanError(f"unknown setting {first!r}{did_you_mean(first)}")
    for path, item in _spelled_out(key, value):
        head, *rest = path.split(".")
        known = data.get(head)
        data[head] = _kept(head, known, _placed(known, rest, _object(head, item) if not rest else item))
    changed = read_plan(data)
    return changed if first == "model" else changed.model_copy(update={"model": plan.model})


def _spelled_out(key: str, value: object) -> list[tuple[str, object]]:
    """Return the plan keys that a shorthand stands for."""
    if key == "world_size":
        return [("sharding.world_size", value)]
    if key == "trainable":
        return [("frozen", _frozen(value))]
    if key == "offload":
        parts = value if isinstance(value, Mapping) else {"optimizer": value, "param": value}
        return [(f"sharding.offload_{part}", where) for part, where in parts.items()]
    if key.startswith("offload."):
        return [(f"sharding.offload_{key.removeprefix('offload.')}", value)]
    return [(key, value)]


def _frozen(value: object) -> list[str]:
    """Return the patterns of frozen parameters where `value` names those that are trained."""
    if value in ("all", True, None):
        return []
    names = [value] if isinstance(value, str) else value
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise PlanError(f"trainable: give patterns of parameter names, got {value!r}")
    for name in names:
        _compiled(name)
    return [f"^(?!.*(?:{'|'.join(names)}))"]


def _compiled(pattern: str) -> None:
    try:
        re.compile(pattern)
    except re.error as error:
        raise PlanError(f"trainable: {pattern!r} is no pattern: {error}") from None


def _object(head: str, value: object) -> object:
    """Return the object that a bare string stands for."""
    if head == "gradient_checkpointing" and isinstance(value, bool):
        return {} if value else None
    return {_BARE[head]: value} if head in _BARE and isinstance(value, str) else value


def _kept(head: str, before: object, whole: object) -> object:
    """Keep the number of GPUs where only the kind of sharding is given, and the kind where only the number is.

    Several GPUs without a word of sharding are data parallel.
    """
    if head != "sharding" or not isinstance(whole, Mapping):
        return whole
    kept = dict(whole)
    if whole.keys() == {"kind"} and isinstance(before, Mapping) and "world_size" in before:
        kept["world_size"] = before["world_size"]
    is_alone = all(kept.get(name, 1) == 1 for name in _MODEL_PARALLEL)
    if kept.get("kind", "none") == "none" and kept.get("world_size", 1) != 1 and is_alone:
        kept["kind"] = "ddp"
    return None if kept in _UNSHARDED else kept


def _placed(whole: object, path: list[str], value: object) -> object:
    """Return `whole` with `value` at a path of keys."""
    if not path:
        return value
    inner = dict(whole) if isinstance(whole, Mapping) else {}
    inner[path[0]] = _placed(inner.get(path[0]), path[1:], value)
    return inner


def _checked(head: str, value: object) -> Any:
    """Return a value in the form that the plan document gives it."""
    data = {"model": value} if head == "model" else {"model": _ANY_MODEL, head: value}
    checked = read_plan(data).model_dump(mode="json", by_alias=True, exclude_unset=True)
    return checked.get(head)
