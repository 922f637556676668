"""What frontends ask of a program: its calls by name, what was called, and what arguments are worth."""

from __future__ import annotations

import ast
from typing import TYPE_CHECKING, Any

from vramlint.facts import attributes
from vramlint.facts.evaluate import Evaluator
from vramlint.facts.inspect_values import each, identity
from vramlint.facts.names import Call, Names, Place, collect
from vramlint.facts.reach import Reached, reach
from vramlint.facts.setting import Known, OneOf, Origin, Setting, Unknown
from vramlint.facts.shown import source
from vramlint.facts.values import Bound, Class, Frame, Function, Instance, Symbol, is_scalar

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from vramlint.source.imports import Repository
    from vramlint.source.spans import Span


class Script:
    """A program with its names collected and an evaluator at hand; nothing is evaluated until asked."""

    def __init__(  # noqa: PLR0917  what a program is read with
        self,
        trees: Iterable[tuple[int | None, ast.Module]],
        span: Callable[[ast.AST, int | None], Span],
        flags: Mapping[str, str] | None = None,
        library_field: Callable[[tuple[str, ...], str], Setting[Any] | None] | None = None,
        repository: Repository | None = None,
        environment: Mapping[str, str] | None = None,
        positional: Sequence[str] = (),
    ) -> None:
        self.names: Names = collect(trees)
        self.evaluator = Evaluator(
            self.names, span, flags, library_field, repository, environment, positional
        )
        self.reached: Reached = reach(self.evaluator)
        # What a configuration names is made by these calls; asking for it adds the calls that they stand for.
        for call in tuple(self.names.calls.get("instantiate", ())):
            self.evaluator.evaluate(call.node, call.place)

    def calls(self, *names: str) -> list[Call]:
        """Return the live calls whose callee ends in one of `names`, in the order of the text."""
        found = [
            call
            for name in names
            for call in self.names.calls.get(name, ())
            if self.evaluator.live(call.place)
        ]
        return sorted(found, key=lambda call: (call.place.order, call.node.lineno, call.node.col_offset))

    def value(self, node: ast.expr, place: Place, frame: Frame | None = None) -> Setting[Any]:
        """Return what an expression is worth."""
        return self.evaluator.evaluate(node, place, frame)

    def made(self, call: Call) -> Setting[Any]:
        """Return what a call gives."""
        return self.evaluator.evaluate(call.node, call.place)

    def callee(self, call: Call) -> tuple[str, ...]:
        """Return the qualified names of what is called, with the bases of the file's classes."""
        return callee_names(self.evaluator, call.node, call.place)

    def receiver(self, call: Call) -> Setting[Any] | None:
        """Return the object whose method is called, None for a plain function."""
        if not isinstance(call.node.func, ast.Attribute):
            return None
        return self.value(call.node.func.value, call.place)

    def argument(self, made: Instance | Call, name: str, position: int | None = None) -> Setting[Any] | None:
        """Return an argument of a call with the call's name in its detail, None when it is not given."""
        value = Instance((), made.node, made.place) if isinstance(made, Call) else made
        if value.call is None or isinstance(value.local, Class):
            setting = attributes.field(self.evaluator, value, name) if isinstance(made, Instance) else None
            if setting is None or _is_own_attribute(setting):
                setting = attributes.keyword(self.evaluator, value, name, position)
        else:
            setting = attributes.keyword(self.evaluator, value, name, position)
        if setting is None and value.parsed:
            from vramlint.facts.arguments import flag_of  # noqa: PLC0415  these modules need each other

            return flag_of(self.evaluator, name, ("", "trainer."))
        return named(setting, value, name)

    def span(self, node: ast.AST, place: Place) -> Span:
        """Return the span of a node."""
        return self.evaluator.span(node, place)

    def start(self, call: Call) -> Span:
        """Return where the script starts a call: the call itself, or the one that leads into its module."""
        entry = self.reached.get(call.place.scope, call)
        return self.span(entry.node, entry.place)

    def origin(self, node: ast.AST, place: Place, detail: str | None = None) -> Origin:
        """Return the origin that points at a node."""
        return self.evaluator.origin(node, place, detail=detail)


def callee_names(
    evaluator: Evaluator, node: ast.Call, place: Place, frame: Frame | None = None
) -> tuple[str, ...]:
    """Return the qualified names of a callee; `.method` for the method of an object."""
    names: list[str] = []
    for known in each(evaluator.evaluate(node.func, place, frame)):
        value = known.value
        if isinstance(value, Symbol):
            names.append(value.name)
        elif isinstance(value, Class):
            names.extend(evaluator.base_names(value))
        elif isinstance(value, Bound) and value.of is not None:
            names.append(f".{value.attribute}")
    return tuple(names)


def named(setting: Setting[Any] | None, made: Instance, name: str) -> Setting[Any] | None:
    """Give a plain value the detail `Callee(name=value)`, so that a reader sees what it is for."""
    if not (isinstance(setting, Known) and is_scalar(setting.value) and setting.origin.kind == "source"):
        return setting
    if made.call is None:
        return setting
    detail = f"{source(made.call.func).rpartition('.')[2]}({name}={setting.value!r})"
    return Known(setting.value, Origin("source", detail, setting.origin.span))


def _is_own_attribute(setting: Setting[Any]) -> bool:
    return isinstance(setting, Known) and isinstance(setting.value, Bound | Function)


def package(name: str) -> str:
    """Return the top-level package of a qualified name."""
    return name.partition(".")[0]


def is_from(names: Iterable[str], packages: Iterable[str], ends: Iterable[str]) -> bool:
    """Return whether one of the qualified names is one of `ends` out of one of `packages`."""
    roots, last = set(packages), set(ends)
    return any(package(name) in roots and name.rpartition(".")[2] in last for name in names)


def lift(setting: Setting[Any], function: Callable[[Known[Any]], Setting[Any] | None]) -> Setting[Any] | None:
    """Apply a function to the known alternatives of a setting, keeping the choice between them."""
    if isinstance(setting, Unknown):
        return setting
    if isinstance(setting, Known):
        return function(setting)
    results = [function(known) for known in setting.alternatives]
    every = [one for result in results if result is not None for one in _alternatives(result)]
    known: list[Known[Any]] = list({identity(one.value): one for one in reversed(every)}.values())[::-1]
    if len(known) == 1:
        return known[0]
    unknown = next((result for result in results if isinstance(result, Unknown)), None)
    if unknown is not None or not known:
        return unknown
    return OneOf(tuple(known), setting.reason)


def _alternatives(setting: Setting[Any]) -> tuple[Known[Any], ...]:
    if isinstance(setting, Known):
        return (setting,)
    return setting.alternatives if isinstance(setting, OneOf) else ()
