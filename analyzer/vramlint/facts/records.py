"""What a dict holds after its making: `settings["key"] = …` and `settings.update(…)` before a place."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from vramlint.facts.setting import Known, Origin, Setting
from vramlint.facts.values import Bound, Frame, Lazy, Record, frame_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from vramlint.facts.evaluate import Evaluator
    from vramlint.facts.names import Binding, Place, Scope


def with_changes(  # noqa: PLR0917  the place travels with the value
    evaluator: Evaluator, name: str, made: Binding, scope: Scope, place: Place, frame: Frame | None
) -> Setting[Any]:
    """Return what a binding of `name` holds at a place: a dict with its later changes, else its value.

    A change in a branch that depends on the run makes alternatives of the old and the new entry.
    """
    inner = frame_of(scope, frame)
    setting = evaluator.bound(made, inner)
    if not (isinstance(setting, Known) and isinstance(setting.value, Record)):
        return setting
    items, gaps = dict(setting.value.items), setting.value.gaps
    for key, found, is_sure in _changes(evaluator, name, made, scope, place, frame):
        if key.startswith(f"{name}.") and not key.startswith(f"{name}.update()"):
            entry = key.removeprefix(f"{name}.")
            # A configuration inside has changes of its own: `config.train.batch = 8`.
            whole = [with_changes(evaluator, key, one, scope, place, frame) for one in reversed(found)]
            old = () if is_sure else (items.get(entry, _nowhere(name, entry)),)
            items[entry] = _either(evaluator, key, (*old, *whole))
            continue
        if key.endswith("']"):
            entry = key[len(name) + 2 : -2]
            before = None if is_sure else items.get(entry, _nowhere(name, entry))
            items[entry] = _rewritten(evaluator, f"{name}[{entry!r}]", found, inner, before)
            continue
        other = None if found[0].value is None else evaluator.evaluate(found[0].value, found[0].place, inner)
        if not (isinstance(other, Known) and isinstance(other.value, Record)):
            items, gaps = {}, f"`{name}` is updated with what only a run knows"
            continue
        gaps = gaps or other.value.gaps
        for entry, value in other.value.items.items():
            before = items.get(entry, _nowhere(name, entry))
            items[entry] = value if is_sure else _either(evaluator, f"{name}[{entry!r}]", (before, value))
    return Known(Record(items, gaps), setting.origin)


def _changes(  # noqa: PLR0917  the place travels with the value
    evaluator: Evaluator, name: str, made: Binding, scope: Scope, place: Place, frame: Frame | None
) -> Iterator[tuple[str, tuple[Binding, ...], bool]]:
    """Yield each change between the making and a place, in order, and whether it surely happens."""
    changes = []
    for key in scope.bindings:
        if not key.startswith((f"{name}['", f"{name}.")):
            continue
        attribute = key.removeprefix(f"{name}.")
        if attribute != key and not attribute.startswith("update()") and not attribute.isidentifier():
            continue
        found, is_sure, _ = evaluator.bindings(key, place, frame)
        later = tuple(binding for binding in found if binding.place.order > made.place.order)
        if later:
            changes.append((key, later, is_sure and len(later) == len(found)))
    yield from sorted(changes, key=lambda change: change[1][0].place.order)


def _rewritten(
    evaluator: Evaluator,
    shown: str,
    found: tuple[Binding, ...],
    frame: Frame | None,
    before: Lazy | Setting[Any] | None,
) -> Lazy | Setting[Any]:
    """Return an entry that assignments give; `before` is what it was where none of them need happen."""
    only = found[0]
    if len(found) == 1 and before is None and only.kind == "value" and only.value is not None:
        return Lazy(only.value, only.place, frame)
    values = [evaluator.bound(binding, frame) for binding in reversed(found)]
    return _either(evaluator, shown, (*(() if before is None else (before,)), *values))


def _either(evaluator: Evaluator, shown: str, values: tuple[Lazy | Setting[Any], ...]) -> Setting[Any]:
    settings = [evaluator.force(value) for value in values]
    return evaluator.joined(settings, f"`{shown}` is set in branches that depend on the run")


def _nowhere(name: str, entry: str) -> Known[Any]:
    """Return what stands for a key that is set in some branches only, in the others."""
    return Known(Bound(None, "absent"), Origin("source", f"`{name}[{entry!r}]` is set in some branches only"))
