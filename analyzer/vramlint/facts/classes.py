"""Objects of the file's own classes: class attributes, dataclass fields, what `__init__` stores."""

from __future__ import annotations

import ast
from math import inf
from typing import TYPE_CHECKING, Any

from vramlint.facts.flow import Point, in_force
from vramlint.facts.names import terminal
from vramlint.facts.setting import Known, Setting, Unknown
from vramlint.facts.values import Bound, Class, Frame, Function, Instance, Symbol, is_scalar

if TYPE_CHECKING:
    from vramlint.facts.evaluate import Evaluator
    from vramlint.facts.names import Binding, Place

MOST_BASES = 12


def lineage(evaluator: Evaluator, owner: Class) -> list[Class]:
    """Return a class and its bases that stand in the file, nearest first."""
    found = [owner]
    for current in found:
        for base in current.node.bases:
            place = current.scope.place
            setting = evaluator.evaluate(base, place) if place else None
            known = isinstance(setting, Known) and isinstance(setting.value, Class)
            if known and all(one.node is not setting.value.node for one in found) and len(found) < MOST_BASES:  # type: ignore[union-attr]
                found.append(setting.value)  # type: ignore[union-attr]
    return found


def outside_bases(evaluator: Evaluator, owner: Class) -> list[str]:
    """Return the qualified names of the library classes that a class derives from."""
    names: list[str] = []
    for one in lineage(evaluator, owner):
        for base in one.node.bases:
            place = one.scope.place
            inner = base.value if isinstance(base, ast.Subscript) else base
            setting = evaluator.evaluate(inner, place) if place else None
            if isinstance(setting, Known) and isinstance(setting.value, Symbol):
                names.append(setting.value.name)
    return names


def class_attribute(
    evaluator: Evaluator, owner: Class, name: str, frame: Frame | None
) -> Setting[Any] | None:
    """Return an attribute of a class itself, with its bases searched in order."""
    for one in lineage(evaluator, owner):
        bindings = one.scope.bindings.get(name)
        if not bindings:
            continue
        found, _ = in_force(bindings, Point(inf, ()), evaluator.alive, evaluator.covered)
        if found:
            return evaluator.joined(
                [evaluator.bound(b, frame) for b in found], f"`{name}` depends on the run"
            )
    return None


def method(evaluator: Evaluator, owner: Class, name: str) -> Function | None:
    """Return a class's method of that name, its bases searched in order; None where it has none."""
    for one in lineage(evaluator, owner):
        binding = one.scope.bindings.get(name, [None])[-1]
        if binding is not None and isinstance(binding.node, ast.FunctionDef | ast.AsyncFunctionDef):
            return Function(binding.node, evaluator.scopes[binding.node])
    return None


def instance_attribute(
    evaluator: Evaluator, value: Instance, owner: Class, name: str, at: Place | None = None
) -> Setting[Any] | None:
    """Return an attribute of an object: what its methods store, what its call gives, its class's default."""
    stored = _stored(evaluator, value, owner, name, at)
    if stored is not None:
        return stored
    declared = fields(evaluator, owner)
    if name in declared:
        return _field_value(evaluator, value, name, declared)
    return class_attribute(evaluator, owner, name, value.frame)


def fields(evaluator: Evaluator, owner: Class) -> dict[str, Binding]:
    """Return the annotated fields of a class, those of its bases in the file first."""
    found: dict[str, Binding] = {}
    for one in reversed(lineage(evaluator, owner)):
        for name, bindings in one.scope.bindings.items():
            if isinstance(bindings[-1].node, ast.AnnAssign):
                found[name] = bindings[-1]
    return found


def field_default(evaluator: Evaluator, binding: Binding) -> Setting[Any] | None:
    """Return a field's default, None if it has none."""
    value = binding.value
    if value is None:
        return None
    if isinstance(value, ast.Call) and terminal(value.func) in {"field", "Field", "HfArg"}:
        return _declared_default(evaluator, value, binding)
    return evaluator.evaluate(value, binding.place)


def _declared_default(evaluator: Evaluator, call: ast.Call, binding: Binding) -> Setting[Any] | None:
    """Read `field(default=…)`, `field(default_factory=…)` and pydantic's `Field(…)`."""
    for given in call.keywords:
        if given.arg == "default":
            return evaluator.evaluate(given.value, binding.place)
        if given.arg == "default_factory":
            if isinstance(given.value, ast.Lambda):
                return evaluator.evaluate(given.value.body, binding.place)
            made = ast.copy_location(ast.Call(given.value, [], []), given.value)
            return evaluator.evaluate(ast.fix_missing_locations(made), binding.place)
    if (
        call.args
        and terminal(call.func) == "Field"
        and not (isinstance(call.args[0], ast.Constant) and call.args[0].value is Ellipsis)
    ):
        return evaluator.evaluate(call.args[0], binding.place)
    return None


def _field_value(
    evaluator: Evaluator, value: Instance, name: str, declared: dict[str, Binding]
) -> Setting[Any] | None:
    from vramlint.facts import arguments  # noqa: PLC0415  these modules need each other
    from vramlint.facts.attributes import keyword  # noqa: PLC0415  these modules need each other

    binding = declared[name]
    if value.parsed:
        return arguments.field_argument(evaluator, binding, name)
    if value.call is not None:
        given = keyword(evaluator, value, name, list(declared).index(name))
        if given is not None:
            return given
    return field_default(evaluator, binding)


def _stored(
    evaluator: Evaluator, value: Instance, owner: Class, name: str, at: Place | None
) -> Setting[Any] | None:
    """Return what `self.name = …` in the class's methods stores, `__init__` first; in that method, before `at`."""
    for one in lineage(evaluator, owner):
        bindings = one.scope.bindings.get(f"self.{name}", [])
        if not bindings:
            continue
        initial = [b for b in bindings if _method_name(b) in {"__init__", "__post_init__", "setup"}]
        chosen = initial or bindings
        last_method = chosen[-1].place.scope
        chosen = [b for b in chosen if b.place.scope is last_method]
        inside = at is not None and at.scope is last_method
        point = Point(at.order, at.path) if at is not None and inside else Point(inf, ())
        found, sure = in_force(chosen, point, evaluator.alive, evaluator.covered)
        if not found:
            continue
        settings = []
        for binding in found:
            frame = Frame(binding.place.scope, value, value.frame) if value.call is not None else value.frame
            settings.append(evaluator.bound(binding, frame))
        if not sure:
            before = class_attribute(evaluator, owner, name, value.frame)
            settings += [before] if before is not None else []
        return evaluator.joined(settings, f"`self.{name}` depends on the run")
    return None


def _method_name(binding: Binding) -> str:
    node = binding.place.scope.node
    return node.name if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) else ""


def unread(value: object) -> bool:
    """Return whether a value says nothing that a setting could use."""
    return not (is_scalar(value) or isinstance(value, Symbol)) or isinstance(value, Bound | Unknown)
