"""Which functions of other modules a script comes to: only what it starts counts as its own code."""

from __future__ import annotations

import ast
from collections import deque
from typing import TYPE_CHECKING, TypeAlias

from vramlint.facts import classes
from vramlint.facts.inspect_values import each
from vramlint.facts.names import Call, Names, Scope, root, terminal
from vramlint.facts.values import Bound, Class, Function, Instance

if TYPE_CHECKING:
    from collections.abc import Iterator

    from vramlint.facts.evaluate import Evaluator

# The call of the script that leads to a function of another module.
Reached: TypeAlias = "dict[Scope, Call]"

MOST_SCOPES = 200
MOST_CALLS = 3_000


def reach(evaluator: Evaluator) -> Reached:
    """Follow the calls that the module's own statements start into modules of the repository.

    The calls that stand in functions reached there join those of the script.
    """
    if not _imports_files(evaluator):
        return {}
    search = _Search(evaluator)
    search.run()
    return search.reached


def _imports_files(evaluator: Evaluator) -> bool:
    repository = evaluator.modules.repository
    if repository is None:
        return False
    return any(not name or repository.top(name) is not None for name in evaluator.names.imports)


class _Search:
    """A breadth-first walk over calls, from the statements of the script itself."""

    def __init__(self, evaluator: Evaluator) -> None:
        self.evaluator = evaluator
        self.own = evaluator.names.module
        self.reached: Reached = {}
        self._seen: set[Scope] = set()
        self._by_scope: dict[Scope, dict[Scope, list[Call]]] = {}
        self._queue: deque[tuple[Call, Call]] = deque()

    def run(self) -> None:
        for call in self.calls(self.own):
            self._queue.append((call, call))
        for scope in self.evaluator.names.definitions.get("main", []):
            self.enter(scope, None)
        for _ in range(MOST_CALLS):
            if not self._queue:
                return
            call, entry = self._queue.popleft()
            if self.evaluator.live(call.place):
                for scope in self.functions(call.node.func, call):
                    self.evaluator.callers.setdefault(scope, []).append(call)
                    self.enter(scope, entry)
                for scope in self.handed_on(call):
                    self.enter(scope, entry)

    def enter(self, scope: Scope, entry: Call | None) -> None:
        """Take a function's calls into the walk; into the script's own calls where it is another module's."""
        if scope in self._seen or len(self._seen) >= MOST_SCOPES:
            return
        self._seen.add(scope)
        foreign = root(scope) is not self.own
        names = self.evaluator.names
        for call in self.calls(scope):
            if foreign and entry is not None:
                names.calls.setdefault(terminal(call.node.func), []).append(call)
                self.reached[call.place.scope] = entry
            self._queue.append((call, entry if foreign and entry is not None else call))
        if foreign and isinstance(scope.node, ast.FunctionDef | ast.AsyncFunctionDef):
            names.scopes[scope.node] = scope

    def calls(self, scope: Scope) -> list[Call]:
        """Return the calls that stand in a scope, or in lambdas and comprehensions in it."""
        module = root(scope)
        if module not in self._by_scope:
            table: dict[Scope, list[Call]] = {}
            for call in _all_calls(self.evaluator, module):
                table.setdefault(_holder(call.place.scope), []).append(call)
            self._by_scope[module] = table
        return self._by_scope[module].get(scope, [])

    def handed_on(self, call: Call) -> Iterator[Scope]:
        """Yield the functions that a call is given, to run them itself."""
        for part in call.node.args:
            if isinstance(part, ast.Name) and self.may_be_function(part, call):
                yield from self.functions(part, call)

    def functions(self, node: ast.expr, call: Call) -> Iterator[Scope]:
        if isinstance(node, ast.Attribute) and _is_super(node.value):
            yield from self.inherited(node.attr, call)
            return
        for known in each(self.evaluator.evaluate(node, call.place)):
            value = known.value
            if isinstance(value, Function):
                yield value.scope
            elif isinstance(value, Class):
                made = classes.method(self.evaluator, value, "__init__")
                if made is not None:
                    yield made.scope
            elif isinstance(value, Bound) and isinstance(value.of, Instance) and _is_own(value.of):
                assert isinstance(value.of.local, Class)
                method = classes.method(self.evaluator, value.of.local, value.attribute)
                if method is not None:
                    yield method.scope

    def inherited(self, name: str, call: Call) -> Iterator[Scope]:
        """Yield the method of the next class in line that `super()` means."""
        holder = call.place.scope.parent
        if holder is None or not isinstance(holder.node, ast.ClassDef):
            return
        for base in classes.lineage(self.evaluator, Class(holder.node, holder))[1:2]:
            method = classes.method(self.evaluator, base, name)
            if method is not None:
                yield method.scope

    def may_be_function(self, node: ast.Name, call: Call) -> bool:
        found, _, _ = self.evaluator.bindings(node.id, call.place, None)
        return any(binding.kind in {"def", "import"} for binding in found)


def _is_super(node: ast.expr) -> bool:
    return isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "super"


def _is_own(value: Instance) -> bool:
    return isinstance(value.local, Class)


def _all_calls(evaluator: Evaluator, module: Scope) -> list[Call]:
    names: Names = evaluator.modules.loaded.get(module, evaluator.names)
    found = [call for calls in names.calls.values() for call in calls if root(call.place.scope) is module]
    return sorted(found, key=lambda call: (call.place.order, call.node.lineno, call.node.col_offset))


def _holder(scope: Scope) -> Scope:
    """Return the function, class or module that a scope stands in, or itself."""
    while scope.kind in {"lambda", "comprehension"} and scope.parent is not None:
        scope = scope.parent
    # The statements of a class run where the class is made.
    while scope.kind == "class" and scope.parent is not None:
        scope = scope.parent
    return scope
