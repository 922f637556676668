"""Names that no call of the user's binds: what the script's evaluator says of them."""

from __future__ import annotations

import ast
import sys
from typing import TYPE_CHECKING, Any

from vramlint.facts import attributes, classes
from vramlint.facts import values as facts
from vramlint.facts.inspect_values import each
from vramlint.facts.names import Place, Scope, root
from vramlint.facts.setting import OneOf, Setting, Unknown
from vramlint.facts.values import is_scalar
from vramlint.interpret import python
from vramlint.interpret.changes import Changes
from vramlint.interpret.values import (
    Data,
    Frame,
    Function,
    Library,
    Namespace,
    Parsed,
    Unread,
    UserClass,
)
from vramlint.memory.modules import Module

if TYPE_CHECKING:
    from vramlint.interpret.interpreter import Interpreter

_MISSING = object()


class Names:
    """Reads the names of modules and of the script, each once."""

    def __init__(self, interpreter: Interpreter) -> None:
        self.interpreter = interpreter
        self.evaluator = interpreter.evaluator
        self.changes = Changes(interpreter)
        self._globals: dict[tuple[Scope, str], Any] = {}
        self._classes: dict[int, UserClass] = {}
        self._made: dict[tuple[int, int], Any] = {}
        self._lists: dict[int, Any] = {}
        self._pinned: dict[int, Any] = {}

    def pin(self, call: ast.Call, module: Any) -> None:
        """Let a call stand for this module, whatever function it is read in."""
        self._pinned[id(call)] = module

    def pinned(self, call: ast.Call) -> Any:
        """Return the module that a call of the script stands for, None for any other call."""
        return self._pinned.get(id(call))

    def path(self, frame: Frame) -> str:
        """Return the file that a frame's code stands in."""
        return self.evaluator.modules.path(root(frame.scope)) if frame.scope is not None else ""

    def look_up(self, name: str, frame: Frame) -> Any:
        """Return what a name is worth in a frame."""
        at: Frame | None = frame
        while at is not None:
            if name in at.locals:
                return at.locals[name]
            if at.place is not None:
                return self._in_script(name, at)
            if at.outer is None:
                return self._global(name, at)
            at = at.outer
        raise AssertionError(name)

    def _in_script(self, name: str, frame: Frame) -> Any:
        assert frame.place is not None
        setting = self.evaluator.name(name, frame.place, frame.within)
        value = self._elsewhere(name, frame.place.scope) if setting is None else self.value(setting)
        if isinstance(value, Unread):
            value = self._interpreted(name, frame, value)
        if setting is not None:
            self.changes.to_handed_on(setting, value, frame.place)
        self.changes.to_name(name, value, frame.place, frame.within)
        if frame.lenient and isinstance(value, Unread) and not hasattr(value, "manager"):
            value = frame.locals[name] = Data(value.reason)  # the same batch each time it is named
        return value

    def _interpreted(self, name: str, frame: Frame, unread: Unread) -> Any:
        """Return what one assignment gives a name, where the evaluator cannot say but the interpreter can."""
        assert frame.place is not None
        found, _, _ = self.evaluator.bindings(name, frame.place, frame.within)
        if len(found) != 1 or found[0].kind != "value" or found[0].value is None:
            return unread
        key = (id(found[0].value), id(frame.within))
        if key not in self._made:
            self._made[key] = unread
            at = Frame(found[0].place.scope, place=found[0].place, within=frame.within)
            made = self.interpreter.attempt(found[0].value, at)
            self._made[key] = unread if isinstance(made, Unread) else made
        return self._made[key]

    def _global(self, name: str, frame: Frame) -> Any:
        if frame.scope is None:
            return self._elsewhere(name, None)
        module = root(frame.scope)
        key = (module, name)
        if key not in self._globals:
            place = Place(module, sys.maxsize, (), None)
            at = Frame(module, place=place)
            setting = self.evaluator.name(name, place, None)
            value = self._elsewhere(name, module) if setting is None else self.value(setting)
            value = self._interpreted(name, at, value) if isinstance(value, Unread) else value
            self._globals[key] = value
            if setting is not None:
                self.changes.to_handed_on(setting, value, place)
            self.changes.to_name(name, value, place, None)
        return self._globals[key]

    def _elsewhere(self, name: str, scope: Scope | None) -> Any:
        """Return a name that a star import brings, or a built-in one."""
        module = root(scope) if scope is not None else None
        if module is not None and module.stars:
            setting = self.evaluator.modules.starred(name, module)
            if setting is not None:
                return self.value(setting)
        if name in python.BUILTINS:
            return Library(f"builtins.{name}")
        return Unread(f"the name `{name}` is not known")

    def imported(self, target: str, scope: Scope) -> Any:
        """Return what an import inside of a function binds, None where the repository has no such module."""
        setting = self.evaluator.modules.imported(target, root(scope))
        return None if setting is None else self.value(setting)

    def member(self, module: facts.Module, name: str) -> Any:
        """Return a name of a module of the repository."""
        setting = self.evaluator.modules.member(module, name)
        return Library(f"{module.name}.{name}") if setting is None else self.value(setting)

    def of_parsed(self, value: Parsed, name: str) -> Any:
        """Return an attribute of an object that the evaluator knows, such as parsed arguments."""
        node = ast.Attribute(ast.Name("args", ast.Load()), name, ast.Load())
        ast.copy_location(node, value.value.call) if value.value.call is not None else None
        setting = attributes.attribute(self.evaluator, value.value, name, node, value.place, value.within)
        return self.value(setting)

    def value(self, setting: Setting[Any]) -> Any:
        """Return a setting of the script's evaluator as a value of the interpreter."""
        if isinstance(setting, Unknown):
            return Unread(setting.reason)
        if isinstance(setting, OneOf):
            values = [self.plain(one.value) for one in each(setting)]
            is_same = isinstance(values[0], Module) and all(one is values[0] for one in values)
            return values[0] if is_same else Unread(setting.reason)
        return self.plain(setting.value)

    def plain(self, value: Any) -> Any:  # noqa: C901, PLR0911  one early return for each kind of value
        """Return one value of the evaluator."""
        if is_scalar(value):
            return value
        if isinstance(value, facts.Symbol):
            return python.library(value.name)
        if isinstance(value, facts.Class):
            return self.class_of(value)
        if isinstance(value, facts.Function):
            return Function(value.node, value.scope)
        if isinstance(value, facts.Module):
            return Namespace(value)
        if isinstance(value, facts.Items | facts.Record):
            return self._container(value)
        if isinstance(value, facts.Instance):
            return self._instance(value)
        if isinstance(value, facts.Element):
            return self._element(value)
        if isinstance(value, facts.Bound) and value.of is not None:
            if isinstance(value.of, facts.Instance) and (value.of.call is None or _is_given(value.of)):
                return Unread(f"`{value.attribute}` of the parsed arguments is known only at run time")
            from vramlint.interpret.attributes import attribute  # noqa: PLC0415  these modules need each other

            return attribute(self.interpreter, self.plain(value.of), value.attribute)
        return Unread("a value of the script is known only at run time")

    def _container(self, value: facts.Items | facts.Record) -> Any:
        if value.gaps is not None:
            return Unread(value.gaps)
        if id(value) not in self._lists:
            force = self.evaluator.force
            made: Any = (
                [self.value(force(item)) for item in value.items]
                if isinstance(value, facts.Items)
                else {key: self.value(force(item)) for key, item in value.items.items()}
            )
            self._lists[id(value)] = (value, made)
        return self._lists[id(value)][1]

    def _instance(self, value: facts.Instance) -> Any:
        if value.call is None or _is_given(value):
            return Parsed(value, value.place, value.frame)
        if id(value.call) in self._pinned:
            return self._pinned[id(value.call)]
        key = (id(value.call), id(value.frame))
        if key not in self._made:
            self._made[key] = Unread("a value of the script is defined in terms of itself")
            frame = Frame(value.place.scope, place=value.place, within=value.frame)
            self._made[key] = self.interpreter.attempt(value.call, frame)
        return self._made[key]

    def _element(self, value: facts.Element) -> Any:
        from vramlint.interpret.attributes import item  # noqa: PLC0415  these modules need each other

        whole = self._instance(value.of)
        return (
            whole.part(value.index)
            if isinstance(whole, Unread)
            else item(self.interpreter, whole, value.index)
        )

    def class_of(self, value: facts.Class, outer: Frame | None = None) -> UserClass:
        """Return a class of the user's, with its lineage."""
        key = id(value.node)
        if key not in self._classes:
            frame = outer or Frame(root(value.scope))
            made = self._classes[key] = UserClass(value.node.name, value.node, value.scope, frame)
            line = classes.lineage(self.evaluator, value)[1:]
            made.lineage = (made, *(self.class_of(one) for one in line))
            made.bases = tuple(classes.outside_bases(self.evaluator, value))
        return self._classes[key]


def _is_given(value: facts.Instance) -> bool:
    """Return whether only the evaluator knows what an object holds, as with parsed arguments."""
    from vramlint.facts import arguments  # noqa: PLC0415  the evaluator's parts need each other

    return value.parsed or arguments.is_parsed(value)
