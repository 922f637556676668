"""Questions about values: whether they are true, the same, or alternatives of each other."""

from __future__ import annotations

from typing import Any

from vramlint.facts.setting import Known, OneOf, Origin, Setting
from vramlint.facts.values import Bound, Class, Function, Instance, Items, Record, Symbol, is_scalar


def each(setting: Setting[Any]) -> tuple[Known[Any], ...]:
    """Return every known alternative of a setting; an unknown counts as one opaque value."""
    if isinstance(setting, Known):
        return (setting,)
    if isinstance(setting, OneOf):
        return setting.alternatives
    return (Known(Bound(None, "?"), Origin("source", setting.reason)),)


def truthiness(known: Known[Any]) -> bool | None:
    """Return whether a value counts as true; None when only a run can tell."""
    value = known.value
    if is_scalar(value):
        return bool(value)
    if isinstance(value, Record | Items):
        return True if value.items else (None if value.gaps else False)
    if isinstance(value, Function | Class | Symbol):
        return True
    if isinstance(value, Instance) and value.local is not None and isinstance(value.local, Class):
        return True
    return None


def same(left: object, right: object) -> bool | None:
    """Return whether two values are the same where that can be told without running: names and None."""
    if isinstance(left, Symbol) and isinstance(right, Symbol):
        return left == right
    made = (Instance, Record, Items, Function, Class)
    if (left is None and isinstance(right, (*made, Symbol))) or (
        right is None and isinstance(left, (*made, Symbol))
    ):
        opaque = left if right is None else right
        return None if isinstance(opaque, Instance) and not _is_constructed(opaque) else False
    return None


def _is_constructed(value: Instance) -> bool:
    """Return whether a class was called: an object, where a function might have returned None."""
    names = [name.rpartition(".")[2] for name in value.names]
    return value.local is not None or (bool(names) and all(name[:1].isupper() for name in names))


def scalar(known: Known[Any]) -> Known[Any]:
    """Return the setting with a plain value, for its origin only."""
    return known if is_scalar(known.value) else Known(None, known.origin)


def identity(value: object) -> object:
    """Return what tells alternatives apart: the value itself when plain, else the object."""
    if is_scalar(value) or isinstance(value, Symbol):
        return (type(value), value)
    if isinstance(value, Instance):
        return (id(value.call), value.names)
    return repr(value) if isinstance(value, dict | list) else id(value)
