"""The evaluator: what an expression is worth at its place, without running anything.

Evaluation is lazy, cached by node, and bounded in depth, in alternatives and in total work. A value
keeps the origin of the place where it is written, not of the places that pass it on.
"""

from __future__ import annotations

import ast
import builtins
from functools import partial
from itertools import product
from math import inf, prod
from typing import TYPE_CHECKING, Any, ClassVar

from vramlint.facts import (
    arguments,
    attributes,
    calls,
    classes,
    comparisons,
    configurator,
    operations,
    parameters,
    records,
)
from vramlint.facts.flow import MOST_BINDINGS, Point, in_force
from vramlint.facts.inspect_values import each, identity, truthiness
from vramlint.facts.machine import MACHINE
from vramlint.facts.modules import Modules
from vramlint.facts.names import Arm, Binding, Call, Names, Place, Scope, dotted, root
from vramlint.facts.setting import Known, OneOf, Origin, OriginKind, Setting, Unknown
from vramlint.facts.shown import source
from vramlint.facts.values import (
    Class,
    Frame,
    Function,
    Items,
    Lazy,
    Record,
    Symbol,
    frame_of,
    is_scalar,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from vramlint.source.imports import Repository
    from vramlint.source.spans import Span

MOST_ALTERNATIVES = 8
DEEPEST = 40
LONGEST_CALL_CHAIN = 8
MOST_STEPS = 20_000
# Which kind of origin a computed value takes: that of its least certain part.
_CERTAINTY: tuple[OriginKind, ...] = ("assumed", "framework-default", "argument-default", "launch", "source")


class Evaluator:
    """Evaluates the expressions of one program.

    `span` gives the span of a node in a cell; `repository` finds the modules that the program imports;
    `flags` are the arguments of the launch line, by their names without dashes; `library_field` gives the
    default of a field of a library's own dataclass, such as `trl.ModelConfig`, where a parser fills it.
    """

    def __init__(  # noqa: PLR0917  what a program is read with
        self,
        names: Names,
        span: Callable[[ast.AST, int | None], Span],
        flags: Mapping[str, str] | None = None,
        library_field: Callable[[tuple[str, ...], str], Setting[Any] | None] | None = None,
        repository: Repository | None = None,
        environment: Mapping[str, str] | None = None,
        positional: Sequence[str] = (),
    ) -> None:
        self.names = names
        self.scopes = names.scopes
        self.covered = names.covered
        self._spans = {names.module: span}
        self.flags = flags or {}
        self.environment = environment or {}
        self.positional = tuple(positional)
        self.instantiated: dict[tuple[int, str], ast.Call] = {}
        self.callers: dict[Scope, list[Call]] = {}
        self.library_field = library_field or (lambda _names, _field: None)
        self.modules = Modules(self, repository)
        self._cache: dict[tuple[int, int], Setting[Any]] = {}
        self._keep: list[object] = []
        self._active: set[tuple[int, int]] = set()
        self._tests: dict[int, bool | None] = {}
        self._steps = 0
        self._most_steps = MOST_STEPS
        self.declarations: dict[str, list[Call]] | None = None
        self._builtins = frozenset(dir(builtins))
        self.overlay = configurator.overlay_of(self) if "exec" in names.calls else None

    # The public side.

    def evaluate(self, node: ast.expr, place: Place, frame: Frame | None = None) -> Setting[Any]:
        """Return what an expression is worth at a place; `frame` is the call its function is read for."""
        key = (id(node), id(frame))
        if key in self._cache:
            return self._cache[key]
        self._steps += 1
        if key in self._active:
            return Unknown(f"`{source(node)}` is defined in terms of itself")
        if len(self._active) > DEEPEST or self._steps > self._most_steps:
            return Unknown(f"`{source(node)}` takes too many steps to follow")
        self._active.add(key)
        try:
            handler = self._HANDLERS.get(type(node))
            result = handler(self, node, place, frame) if handler else self.run_time(node, place)
        finally:
            self._active.discard(key)
        if self._steps <= self._most_steps:
            self._cache[key] = result
            self._keep.append(frame)
        return result

    def force(self, value: Lazy | Setting[Any]) -> Setting[Any]:
        """Evaluate what a container holds."""
        return self.evaluate(value.node, value.place, value.frame) if isinstance(value, Lazy) else value

    def truth(self, node: ast.expr, place: Place, frame: Frame | None = None) -> bool | None:
        """Return whether a test holds, None when it depends on something."""
        answers = {truthiness(known) for known in each(self.evaluate(node, place, frame))}
        return answers.pop() if len(answers) == 1 else None

    def alive(self, arm: Arm) -> bool:
        """Return whether an arm of a branch may run."""
        return self.decided(arm) is not False

    def decided(self, arm: Arm) -> bool | None:
        """Return whether an arm surely runs or surely does not; None when that depends on the run."""
        if not isinstance(arm.branch, ast.If) or arm.place is None:
            return True
        key = id(arm.branch)
        if key not in self._tests:
            self._tests[key] = None
            self._tests[key] = self.truth(arm.branch.test, arm.place)
        truth = self._tests[key]
        return None if truth is None else truth == (arm.index == 0)

    def live(self, place: Place) -> bool:
        """Return whether a place may be reached: no arm around it, nor around its functions, is dead."""
        at: Place | None = place
        while at is not None:
            if not all(self.alive(arm) for arm in at.path):
                return False
            at = at.scope.place
        return True

    def origin(
        self, node: ast.AST, place: Place, kind: OriginKind = "source", detail: str | None = None
    ) -> Origin:
        """Return the origin that points at a node."""
        return Origin(kind, source(node) if detail is None else detail, self.span(node, place))

    def span(self, node: ast.AST, place: Place) -> Span:
        """Return the span of a node, in whichever file its place is."""
        return self._spans[root(place.scope)](node, place.cell)

    def adopt(self, names: Names, span: Callable[[ast.AST, int | None], Span]) -> None:
        """Take in the scopes of a further module; its calls stay its own."""
        self.scopes = {**self.scopes, **names.scopes}
        self.covered = {**self.covered, **names.covered}
        self._spans[names.module] = span
        self._most_steps += MOST_STEPS // 4

    def known(self, value: object, node: ast.AST, place: Place) -> Known[Any]:
        """Return a known value that stands at a node."""
        return Known(value, self.origin(node, place))

    def run_time(self, node: ast.AST, place: Place, why: str = "is known only at run time") -> Unknown:
        """Return the unknown of an expression that only a run can answer."""
        return Unknown(f"`{source(node)}` {why}", self.origin(node, place))

    def base_names(self, owner: Class) -> list[str]:
        """Return the qualified names of the library classes that a class of the file derives from."""
        return classes.outside_bases(self, owner)

    def variable(self, name: str) -> Known[Any] | None:
        """Return a variable of the environment that the launch sets."""
        text = self.environment.get(name)
        if text is None:
            return None
        return Known(str(text), Origin("launch", f"{name}={text}", getattr(text, "span", None)))

    @staticmethod
    def launched(name: str, text: str) -> Setting[Any]:
        """Return a flag of the launch line as a value."""
        return arguments.launched(name, text)

    def parsed_object(self, kind: Class, node: ast.expr, place: Place) -> Setting[Any]:
        """Return the object of a class that a parser of arguments builds."""
        return arguments.object_of(self, kind, node, place)

    @staticmethod
    def machine(name: str) -> bool | None:
        """Return what a training on a CUDA machine answers to a question about the machine."""
        return MACHINE.get(name)

    # Names.

    def name(self, name: str, place: Place, frame: Frame | None) -> Setting[Any] | None:
        """Return what a name holds at a place, None when nothing binds it."""
        found, _, scope = self.bindings(name, place, frame)
        if not found:
            return None
        if len(found) > MOST_BINDINGS:
            return Unknown(f"`{name}` is bound in more than {MOST_BINDINGS} branches")
        if scope is self.names.module and self.overlay is not None:
            laid = configurator.laid(self, self.overlay, name, found, place)
            if laid is not None:
                return laid
        settings = [
            records.with_changes(self, name, binding, scope, place, frame) for binding in reversed(found)
        ]
        return self.joined(settings, f"`{name}` is bound in branches that depend on the run")

    def bindings(
        self, key: str, place: Place, frame: Frame | None
    ) -> tuple[tuple[Binding, ...], bool, Scope]:
        """Return the bindings of a key that may hold at a place, and the scope that has them."""
        scope: Scope | None = place.scope
        point = Point(place.order, place.path)
        first = True
        while scope is not None:
            if key in scope.bindings and (first or scope.kind != "class"):
                point = point if scope.kind != "module" or first else self.as_called(point, key, scope)
                found, sure = in_force(scope.bindings[key], point, self.alive, self.covered)
                if found or scope.kind == "module":
                    return found, sure, scope
            point = self.outside(scope, frame)
            scope, first = scope.parent, False
        return (), False, place.scope

    def as_called(self, point: Point, key: str, scope: Scope) -> Point:
        """Let a function see what is bound before its call, or after it if nothing is."""
        if any(binding.place.order < point.order for binding in scope.bindings[key]):
            return point
        return Point(inf, ())

    def outside(self, scope: Scope, frame: Frame | None) -> Point:
        """Return the point at which a scope's body sees the scope around it: that of its call."""
        caller: Scope | None = scope
        for _ in range(LONGEST_CALL_CHAIN):
            if caller is None or caller.place is None:
                break
            if caller.kind != "function":
                return Point(caller.place.order, caller.place.path)
            call = parameters.first_call(self, caller, frame)
            if call is None:
                break
            if call.scope is scope.parent:
                return Point(call.order, ())
            if scope.parent is None or scope.parent.kind != "module":
                break
            caller = call.scope
        return Point(inf, ())

    def bound(self, binding: Binding, frame: Frame | None) -> Setting[Any]:  # noqa: PLR0911  one early return for each kind of value
        """Return what one binding binds."""
        place = binding.place
        if binding.scope is not None:
            place = Place(binding.scope, place.order, (), place.cell)
        match binding.kind:
            case "value" if binding.value is not None:
                return self.evaluate(binding.value, place, frame)
            case "unpack" if binding.value is not None:
                return self.unpacked(binding.value, binding.steps, place, frame)
            case "import":
                local = self.modules.imported(binding.target, root(place.scope))
                return local or self.known(Symbol(binding.target), binding.node, place)
            case "def" if isinstance(binding.node, ast.FunctionDef | ast.AsyncFunctionDef):
                return self.known(Function(binding.node, self.scopes[binding.node]), binding.node, place)
            case "class" if isinstance(binding.node, ast.ClassDef):
                return self.known(Class(binding.node, self.scopes[binding.node]), binding.node, place)
            case "parameter":
                return parameters.argument(self, binding, frame)
            case "run-time" if isinstance(binding.node, ast.arg):
                held = parameters.rest(self, binding, frame)
                return held or self.run_time(binding.node, place)
            case "augmented" if isinstance(binding.node, ast.AugAssign):
                return self.augmented(binding.node, place, frame)
            case _:
                return Unknown(
                    f"`{source(binding.node)}` is known only at run time", self.origin(binding.node, place)
                )

    def augmented(self, node: ast.AugAssign, place: Place, frame: Frame | None) -> Setting[Any]:
        """Return what `x op= y` leaves in x."""
        before = (
            self.name(node.target.id, place, frame)
            if isinstance(node.target, ast.Name)
            else self.evaluate(node.target, place, frame)
        )
        if before is None:
            return self.run_time(node, place)
        after = self.evaluate(node.value, place, frame)
        return self.apply(lambda a, b: operations.binary(type(node.op), a, b), (before, after), node, place)

    def unpacked(
        self, node: ast.expr, steps: Sequence[int], place: Place, frame: Frame | None
    ) -> Setting[Any]:
        """Return the part of a value that unpacking takes."""
        setting = self.evaluate(node, place, frame)
        for step in steps:
            take = partial(self.part, step=step, node=node, place=place)
            setting = self.each(setting, take)
        return setting

    def part(self, value: Any, step: int, node: ast.expr, place: Place) -> Setting[Any]:
        """Return one element of a tuple."""
        return attributes.part(self, value, step, node, place)

    # Alternatives.

    def each(self, setting: Setting[Any], function: Callable[[Any], Setting[Any]]) -> Setting[Any]:
        """Apply a function to every alternative of a setting."""
        if isinstance(setting, Known):
            return function(setting.value)
        if isinstance(setting, OneOf):
            return self.joined([function(known.value) for known in setting.alternatives], setting.reason)
        return setting

    def joined(self, settings: Sequence[Setting[Any]], reason: str) -> Setting[Any]:
        """Make one setting of the values of several branches; one unknown branch makes all unknown."""
        if len(settings) == 1:
            return settings[0]
        known: list[Known[Any]] = []
        for setting in settings:
            if isinstance(setting, Unknown):
                return setting
            known.extend(each(setting))
        different: list[Known[Any]] = list({identity(one.value): one for one in reversed(known)}.values())[
            ::-1
        ]
        if len(different) == 1:
            return different[0]
        if len(different) > MOST_ALTERNATIVES:
            return Unknown(f"{reason}; there are {len(different)} alternatives")
        return OneOf(tuple(different), reason)

    def apply(
        self, function: Callable[..., Any], settings: Sequence[Setting[Any]], node: ast.AST, place: Place
    ) -> Setting[Any]:
        """Compute with plain values, for every combination of their alternatives."""
        for setting in settings:
            if isinstance(setting, Unknown):
                return setting
        choices = [each(setting) for setting in settings]
        if prod(map(len, choices)) > MOST_ALTERNATIVES:
            return self.run_time(node, place, "has too many alternatives")
        results = [self.computed(function, combination, node, place) for combination in product(*choices)]
        return self.joined(results, f"`{source(node)}` depends on the run")

    def computed(
        self, function: Callable[..., Any], parts: Sequence[Known[Any]], node: ast.AST, place: Place
    ) -> Setting[Any]:
        """Compute with one combination; the origin's kind is that of the least certain part."""
        if not all(is_scalar(part.value) for part in parts):
            return self.run_time(node, place)
        try:
            value = operations.bounded(function, *(part.value for part in parts))
        except operations.NotComputedError:
            return self.run_time(node, place, "cannot be computed here")
        if len(parts) == 1:
            return Known(value, parts[0].origin)
        kinds = {part.origin.kind for part in parts}
        kind: OriginKind = next((kind for kind in _CERTAINTY if kind in kinds), "source")
        detail = f"{source(node)} = {value!r}"
        uncertain = [part.origin.detail for part in parts if part.origin.kind == kind != "source"]
        if uncertain:
            detail = f"{source(node)}, {uncertain[0]}"
        return Known(value, self.origin(node, place, kind, detail))

    # Expressions.

    def _on_constant(self, node: ast.Constant, place: Place, _frame: Frame | None) -> Setting[Any]:
        if is_scalar(node.value):
            return self.known(node.value, node, place)
        return self.run_time(node, place)

    def _on_name(self, node: ast.Name, place: Place, frame: Frame | None) -> Setting[Any]:
        setting = self.name(node.id, place, frame)
        if setting is not None:
            return setting
        stars = root(place.scope).stars
        setting = self.modules.starred(node.id, root(place.scope)) if stars else None
        if setting is not None:
            return setting
        if node.id == "__file__":
            return self.known(self.modules.path(root(place.scope)), node, place)
        if node.id in self._builtins:
            return self.known(Symbol(f"builtins.{node.id}"), node, place)
        if stars:
            return self.run_time(node, place, f"may come from `from {stars[0]} import *`")
        return self.run_time(node, place, "is not bound in this file")

    def _on_attribute(self, node: ast.Attribute, place: Place, frame: Frame | None) -> Setting[Any]:
        changed = self.changed(node, place, frame)
        if changed is not None:
            return changed
        base = self.evaluate(node.value, place, frame)
        return self.each(base, lambda value: attributes.attribute(self, value, node.attr, node, place, frame))

    def _on_subscript(self, node: ast.Subscript, place: Place, frame: Frame | None) -> Setting[Any]:
        changed = self.changed(node, place, frame)
        if changed is not None:
            return changed
        base = self.evaluate(node.value, place, frame)
        if isinstance(base, Unknown):
            return base
        key = self.evaluate(node.slice, place, frame)
        return self.each(
            base, lambda value: self.each(key, lambda k: attributes.item(self, value, k, node, place, frame))
        )

    def changed(
        self, node: ast.Attribute | ast.Subscript, place: Place, frame: Frame | None
    ) -> Setting[Any] | None:
        """Return what an assignment such as `args.lr = 1` or `config["lr"] = 1` put there, if one did."""
        key = dotted(node)
        if key is None or key.startswith("self."):
            return None
        if any(_counts(binding, place) for binding in place.scope.bindings.get(key, ())):
            return self.run_time(node, place)
        found, sure, scope = self.bindings(key, place, frame)
        root = key.replace("[", ".").partition(".")[0]
        bases, _, holder = self.bindings(root, place, frame)
        found = tuple(
            b for b in found if holder is not scope or not bases or b.place.order > bases[0].place.order
        )
        if not found:
            return None
        if not sure and bases and isinstance(node, ast.Subscript):
            return None  # the dict itself knows what it holds in either case
        settings = [self.bound(binding, frame_of(scope, frame)) for binding in found]
        if not sure and bases and isinstance(node, ast.Attribute):
            base = self.evaluate(node.value, place, frame)
            before = self.each(
                base, lambda value: attributes.attribute(self, value, node.attr, node, place, frame)
            )
            settings.append(before)
        return self.joined(settings, f"`{key}` is set in branches that depend on the run")

    def _on_call(self, node: ast.Call, place: Place, frame: Frame | None) -> Setting[Any]:
        return calls.call(self, node, place, frame)

    def _on_binary(self, node: ast.BinOp, place: Place, frame: Frame | None) -> Setting[Any]:
        left, right = self.evaluate(node.left, place, frame), self.evaluate(node.right, place, frame)
        kind = type(node.op)
        if kind is ast.BitOr and isinstance(left, Known) and isinstance(left.value, Record):
            return attributes.merged(self, [left, right], node, place)
        return self.apply(lambda a, b: operations.binary(kind, a, b), (left, right), node, place)

    def _on_unary(self, node: ast.UnaryOp, place: Place, frame: Frame | None) -> Setting[Any]:
        operand = self.evaluate(node.operand, place, frame)
        if isinstance(node.op, ast.Not):
            return self.each(operand, lambda value: self.negated(value, operand, node, place))
        return self.apply(lambda a: operations.unary(type(node.op), a), (operand,), node, place)

    def negated(self, value: object, operand: Setting[Any], node: ast.AST, place: Place) -> Setting[Any]:
        """Return `not value`, with the value's own origin."""
        truth = truthiness(Known(value, Origin("source", "")))
        if truth is None:
            return self.run_time(node, place)
        origin = operand.origin if isinstance(operand, Known) else self.origin(node, place)
        return Known(not truth, origin)

    def _on_compare(self, node: ast.Compare, place: Place, frame: Frame | None) -> Setting[Any]:
        return comparisons.compared(self, node, place, frame)

    def _on_condition(self, node: ast.IfExp, place: Place, frame: Frame | None) -> Setting[Any]:
        truth = self.truth(node.test, place, frame)
        if truth is not None:
            return self.evaluate(node.body if truth else node.orelse, place, frame)
        if isinstance(node.body, ast.Subscript) and dotted(node.body.value) == "sys.argv" and not self.flags:
            # `sys.argv[1] if len(sys.argv) > 1 else "gpt2"`: started by its name alone, it takes its own.
            return arguments.as_default(self.evaluate(node.orelse, place, frame), "started without arguments")
        sides = [self.evaluate(side, place, frame) for side in (node.body, node.orelse)]
        return self.joined(sides, f"`{source(node.test)}` depends on the run")

    def _on_boolean(self, node: ast.BoolOp, place: Place, frame: Frame | None) -> Setting[Any]:
        stops_at = isinstance(node.op, ast.Or)
        open_sides: list[Setting[Any]] = []
        for value in node.values:
            setting = self.evaluate(value, place, frame)
            truths = {truthiness(known) for known in each(setting)}
            if value is node.values[-1] or truths == {stops_at}:
                open_sides.append(setting)
                break
            if truths != {not stops_at}:
                open_sides.append(setting)
        decided = [
            side for side in open_sides[-1:] if isinstance(side, Known) and isinstance(side.value, bool)
        ]
        if decided and decided[0].value == stops_at:
            # `x and False` is False whatever x is.
            return decided[0]
        return self.joined(open_sides, f"`{source(node)}` depends on the run")

    def _on_joined_text(self, node: ast.JoinedStr, place: Place, frame: Frame | None) -> Setting[Any]:
        parts: list[Setting[Any]] = []
        for part in node.values:
            if isinstance(part, ast.FormattedValue) and part.format_spec is not None:
                return self.run_time(node, place)
            inner = part.value if isinstance(part, ast.FormattedValue) else part
            parts.append(self.evaluate(inner, place, frame))
        if len(parts) == 1:
            return self.apply(str, parts, node, place)
        return self.apply(lambda *texts: "".join(map(str, texts)), parts, node, place)

    def _on_dict(self, node: ast.Dict, place: Place, frame: Frame | None) -> Setting[Any]:
        items: dict[Any, Lazy | Setting[Any]] = {}
        gaps = None
        for key, value in zip(node.keys, node.values, strict=True):
            known = None if key is None else self.evaluate(key, place, frame)
            if key is None:
                inner = self.evaluate(value, place, frame)
                if isinstance(inner, Known) and isinstance(inner.value, Record):
                    items |= inner.value.items
                    gaps = gaps or inner.value.gaps
                else:
                    # What is not known may replace every key before it.
                    items, gaps = {}, f"`**{source(value)}` is known only at run time"
            elif isinstance(known, Known) and is_scalar(known.value):
                items[known.value] = Lazy(value, place, frame)
            else:
                gaps = f"the key `{source(key)}` is known only at run time"
        return self.known(Record(items, gaps), node, place)

    def _on_display(
        self, node: ast.List | ast.Tuple | ast.Set, place: Place, frame: Frame | None
    ) -> Setting[Any]:
        starred = next((part for part in node.elts if isinstance(part, ast.Starred)), None)
        gaps = None if starred is None else f"`{source(starred)}` is known only at run time"
        items = tuple(Lazy(part, place, frame) for part in node.elts if not isinstance(part, ast.Starred))
        return self.known(Items(items, gaps), node, place)

    def _on_lambda(self, node: ast.Lambda, place: Place, _frame: Frame | None) -> Setting[Any]:
        return self.known(Function(node, self.scopes[node]), node, place)

    def _on_walrus(self, node: ast.NamedExpr, place: Place, frame: Frame | None) -> Setting[Any]:
        return self.evaluate(node.value, place, frame)

    def _on_await(self, node: ast.Await, place: Place, frame: Frame | None) -> Setting[Any]:
        return self.evaluate(node.value, place, frame)

    _HANDLERS: ClassVar[dict[type[ast.AST], Callable[..., Setting[Any]]]] = {
        ast.Constant: _on_constant,
        ast.Name: _on_name,
        ast.Attribute: _on_attribute,
        ast.Subscript: _on_subscript,
        ast.Call: _on_call,
        ast.BinOp: _on_binary,
        ast.UnaryOp: _on_unary,
        ast.Compare: _on_compare,
        ast.IfExp: _on_condition,
        ast.BoolOp: _on_boolean,
        ast.JoinedStr: _on_joined_text,
        ast.Dict: _on_dict,
        ast.List: _on_display,
        ast.Tuple: _on_display,
        ast.Set: _on_display,
        ast.Lambda: _on_lambda,
        ast.NamedExpr: _on_walrus,
        ast.Await: _on_await,
    }


def _counts(binding: Binding, place: Place) -> bool:
    """Return whether `state["step"] += 1` in a loop around a place changes what is read there in each round."""
    return isinstance(binding.node, ast.AugAssign) and not set(binding.place.loops).isdisjoint(place.loops)
