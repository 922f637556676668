"""What a script does to an object after making it: `config.width = 64`, `model.head = nn.Linear(64, 10)`."""

from __future__ import annotations

import ast
import sys
from typing import TYPE_CHECKING, Any

from vramlint.facts import values as facts
from vramlint.facts.names import Place
from vramlint.facts.setting import Known
from vramlint.interpret import attributes
from vramlint.interpret.modules import Container, UserModule
from vramlint.interpret.values import Frame, Object, Record, Unread
from vramlint.memory.modules import Module, Parameter

if TYPE_CHECKING:
    from collections.abc import Iterator

    from vramlint.facts.names import Binding
    from vramlint.facts.setting import Setting
    from vramlint.interpret.interpreter import Interpreter

_CHANGEABLE = (Object, Record, UserModule, Container, Module)


class Changes:
    """Carries out, each once, the assignments to attributes of objects that the script's statements make."""

    def __init__(self, interpreter: Interpreter) -> None:
        self.interpreter = interpreter
        self._done: set[tuple[int, int]] = set()

    def to_name(self, name: str, value: Any, place: Place, within: facts.Frame | None) -> None:
        """Bring an object that a name holds to where it is at a place."""
        if name == "self" or not isinstance(value, _CHANGEABLE):
            return
        found, _, _ = self.interpreter.evaluator.bindings(name, place, within)
        since = min((binding.place.order for binding in found), default=-1)
        self._carry_out(name, value, since, place, within)

    def to_handed_on(self, setting: Setting[Any], value: Any, place: Place) -> None:
        """Bring an object that another scope made, and returned or handed on, to where that scope left it."""
        made = setting.value if isinstance(setting, Known) else None
        if not isinstance(made, facts.Instance) or not isinstance(value, _CHANGEABLE):
            return
        if made.place.scope is not place.scope:
            self.to_made(made, value)

    def to_made(self, made: facts.Instance, value: Any) -> None:
        """Bring what a call makes to where the scope of the call leaves it."""
        for name, binding in _names_of(made):
            last = Place(binding.place.scope, sys.maxsize, binding.place.path, None)
            self._carry_out(name, value, binding.place.order, last, made.frame)

    def _carry_out(self, name: str, value: Any, since: int, place: Place, within: facts.Frame | None) -> None:
        for key, binding, is_sure in self._between(name, since, place, within):
            if (id(value), id(binding)) not in self._done:
                self._done.add((id(value), id(binding)))
                self._store(key.split(".")[1:], value, self._new(key, binding, within, is_sure=is_sure))

    def _between(
        self, name: str, since: int, place: Place, within: facts.Frame | None
    ) -> Iterator[tuple[str, Binding, bool]]:
        """Yield the assignments to attributes of a name, in order, and whether each is the only one."""
        evaluator = self.interpreter.evaluator
        _, _, scope = evaluator.bindings(name, place, within)
        changes = []
        for key in scope.bindings:
            if key.startswith(f"{name}.") and all(part.isidentifier() for part in key.split(".")):
                found, is_sure, _ = evaluator.bindings(key, place, within)
                later = [binding for binding in found if binding.place.order > since]
                changes += [(key, later[0], is_sure and len(found) == 1)] if later else []
        yield from sorted(changes, key=lambda change: change[1].place.order)

    def _new(self, key: str, binding: Binding, within: facts.Frame | None, *, is_sure: bool) -> Any:
        if not is_sure or binding.kind != "value" or binding.value is None:
            return Unread(f"`{key}` depends on the run")
        at = Frame(binding.place.scope, place=binding.place, within=within)
        return self.interpreter.attempt(binding.value, at)

    def _store(self, path: list[str], value: Any, new: Any) -> None:
        *ahead, last = path
        try:
            for name in ahead:
                value = attributes.attribute(self.interpreter, value, name)
        except AttributeError:
            return
        if isinstance(new, Unread) and isinstance(value, Parameter):
            return
        attributes.store(self.interpreter, value, last, new)


def _names_of(made: facts.Instance) -> Iterator[tuple[str, Binding]]:
    """Yield the names that a statement binds what a call makes to, however it is moved or cast there."""
    for name, bindings in made.place.scope.bindings.items():
        for binding in bindings if name.isidentifier() else ():
            if binding.value is not None and any(node is made.call for node in ast.walk(binding.value)):
                yield name, binding
