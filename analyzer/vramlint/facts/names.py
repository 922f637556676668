"""The scopes and bindings of a program: every binding of a name with its order, its conditions and its node.

The cells of a notebook are one module. The tree is walked once; dead code under a constant condition
is left out. A branch that may or may not run is an `Arm` on the path of what stands in it.
"""

from __future__ import annotations

import ast
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, ClassVar, Literal

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

BindingKind = Literal[
    "value", "unpack", "augmented", "import", "def", "class", "parameter", "run-time", "update"
]
Definition = ast.FunctionDef | ast.AsyncFunctionDef
_Deferred = ast.Lambda | ast.ListComp | ast.SetComp | ast.DictComp | ast.GeneratorExp


@dataclass(slots=True, eq=False, repr=False)
class Scope:
    """A module, class, function, lambda or comprehension, and what it binds."""

    kind: Literal["module", "class", "function", "lambda", "comprehension"]
    node: ast.AST | None
    parent: Scope | None
    place: Place | None = None
    bindings: dict[str, list[Binding]] = field(default_factory=dict)
    returns: list[tuple[ast.expr | None, Place]] = field(default_factory=list)
    stars: list[str] = field(default_factory=list)
    shared: set[str] = field(default_factory=set)


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Arm:
    """One side of a branch: `index` 0 is the body of an if, 1 its else; a try's handlers count from 1."""

    branch: ast.If | ast.Try | ast.Match | Definition
    index: int
    place: Place | None


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Place:
    """Where a statement stands: its scope, its rank in the text, the arms it is in, its cell and loops."""

    scope: Scope
    order: int
    path: tuple[Arm, ...]
    cell: int | None
    loops: tuple[ast.stmt, ...] = ()


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Binding:
    """One binding of a name. `steps` are the indices that unpacking takes from `value`."""

    kind: BindingKind
    place: Place
    node: ast.AST
    value: ast.expr | None = None
    steps: tuple[int, ...] = ()
    target: str = ""
    scope: Scope | None = None


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Call:
    """A call and the place of its statement."""

    node: ast.Call
    place: Place


@dataclass(slots=True, eq=False, repr=False)
class Names:
    """Everything one walk over a program finds."""

    module: Scope
    calls: dict[str, list[Call]] = field(default_factory=dict)
    definitions: dict[str, list[Scope]] = field(default_factory=dict)
    scopes: dict[ast.AST, Scope] = field(default_factory=dict)
    withs: list[tuple[ast.expr, Place, ast.With | ast.AsyncWith]] = field(default_factory=list)
    covered: dict[ast.AST, frozenset[int]] = field(default_factory=dict)
    imports: set[str] = field(default_factory=set)
    deletions: list[tuple[ast.expr, Place]] = field(default_factory=list)


def collect(trees: Iterable[tuple[int | None, ast.Module]], before: int = 0) -> Names:
    """Walk the cells of a program in order and return its names; ranks count on from `before`."""
    module = Scope("module", None, None)
    collector = _Collector(Names(module), before)
    for cell, tree in trees:
        collector.block(tree.body, Place(module, before, (), cell))
    return collector.names


def root(scope: Scope) -> Scope:
    """Return the module that a scope stands in."""
    while scope.parent is not None:
        scope = scope.parent
    return scope


def terminal(node: ast.expr) -> str:
    """Return the last part of a dotted callee, `Trainer` of `transformers.Trainer`, or nothing."""
    if isinstance(node, ast.Attribute):
        return node.attr
    return node.id if isinstance(node, ast.Name) else ""


def constant_truth(test: ast.expr) -> bool | None:
    """Return what a test is in every run, or None when it depends on something."""
    if isinstance(test, ast.Constant):
        return bool(test.value)
    if isinstance(test, ast.UnaryOp) and isinstance(test.op, ast.Not):
        inner = constant_truth(test.operand)
        return None if inner is None else not inner
    if terminal(test) == "TYPE_CHECKING":
        return False
    return True if _is_main_guard(test) else None


def _is_main_guard(test: ast.expr) -> bool:
    if not (isinstance(test, ast.Compare) and len(test.ops) == 1 and isinstance(test.ops[0], ast.Eq)):
        return False
    sides = (test.left, test.comparators[0])
    names = [side.id for side in sides if isinstance(side, ast.Name)]
    values = [side.value for side in sides if isinstance(side, ast.Constant)]
    return names == ["__name__"] and values == ["__main__"]


class _Collector:
    """The one walk. Statements are handled by type; expressions are searched for calls."""

    def __init__(self, names: Names, order: int) -> None:
        self.names = names
        self.order = order

    def block(self, body: Sequence[ast.stmt], at: Place) -> bool:
        """Walk statements; return whether the end of the block is never reached."""
        for statement in body:
            self.order += 1
            place = Place(at.scope, self.order, at.path, at.cell, at.loops)
            handler = self._HANDLERS.get(type(statement))
            if handler is None:
                self.searched(statement, place)
            elif handler(self, statement, place):
                return True
        return False

    def searched(self, node: ast.AST, place: Place) -> None:  # noqa: C901  one case for each kind of value
        """Record every call below a node."""
        stack = [node]
        while stack:
            current = stack.pop()
            kind = type(current)
            if kind is ast.Name or kind is ast.Constant:
                continue
            if kind is ast.Call:
                assert isinstance(current, ast.Call)
                name = terminal(current.func)
                self.names.calls.setdefault(name, []).append(Call(current, place))
                if name == "update":
                    self.updated(current, place)
                stack.extend(keyword.value for keyword in reversed(current.keywords))
                stack.extend(reversed(current.args))
                stack.append(current.func)
                continue
            if kind is ast.Attribute:
                stack.append(current.value)  # type: ignore[attr-defined]
                continue
            if isinstance(current, _Deferred):
                self.deferred(current, place)
                continue
            if isinstance(current, ast.NamedExpr):
                self.bind(current.target.id, Binding("value", place, current, current.value))
            for name in current._fields:
                child = getattr(current, name)
                if isinstance(child, list):
                    stack.extend(item for item in child if isinstance(item, ast.AST))
                elif isinstance(child, ast.AST):
                    stack.append(child)

    def deferred(self, node: _Deferred, place: Place) -> None:
        """Walk a lambda or comprehension in a scope of its own."""
        kind: Literal["lambda", "comprehension"] = (
            "lambda" if isinstance(node, ast.Lambda) else "comprehension"
        )
        scope = Scope(kind, node, place.scope, place)
        self.names.scopes[node] = scope
        inside = Place(scope, place.order, (), place.cell, place.loops)
        if isinstance(node, ast.Lambda):
            self.parameters(node.args, scope, inside)
            self.searched(node.body, inside)
            return
        for generator in node.generators:
            self.assigned(generator.target, None, inside, inside)
            self.searched(generator.iter, place)
            for test in generator.ifs:
                self.searched(test, inside)
        parts = (node.key, node.value) if isinstance(node, ast.DictComp) else (node.elt,)
        for part in parts:
            self.searched(part, inside)

    def bind(self, name: str, binding: Binding) -> None:
        """Add a binding to the scope it belongs to."""
        scope = binding.place.scope
        while scope.kind == "comprehension" and isinstance(binding.node, ast.NamedExpr) and scope.parent:
            scope = scope.parent
        if name in scope.shared and isinstance(scope.node, Definition):
            arm = Arm(scope.node, 0, scope.place)
            place = Place(self.names.module, binding.place.order, (arm,), binding.place.cell)
            self.names.module.bindings.setdefault(name, []).append(
                Binding(binding.kind, place, binding.node, binding.value, binding.steps, scope=scope)
            )
            return
        scope.bindings.setdefault(name, []).append(binding)

    def assigned(
        self, target: ast.expr, value: ast.expr | None, place: Place, at: Place, steps: tuple[int, ...] = ()
    ) -> None:
        """Bind an assignment's target; without a value the target holds what only a run knows."""
        if isinstance(target, ast.Tuple | ast.List):
            for index, part in enumerate(target.elts):
                self.assigned(part, value, place, at, (*steps, index))
            return
        if isinstance(target, ast.Starred):
            self.assigned(target.value, None, place, at)
            return
        name = dotted(target)
        if name is None:
            return
        kind: BindingKind = "run-time" if value is None else "unpack" if steps else "value"
        self.bind(name, Binding(kind, place, target, value, steps))
        self.method_attribute(target, kind, value, steps, place)

    def method_attribute(
        self,
        target: ast.expr,
        kind: BindingKind,
        value: ast.expr | None,
        steps: tuple[int, ...],
        place: Place,
    ) -> None:
        """Bind `self.x` in the class that holds the method."""
        scope = place.scope
        if not (isinstance(target, ast.Attribute) and isinstance(target.value, ast.Name)):
            return
        if (
            scope.kind == "function"
            and scope.parent
            and scope.parent.kind == "class"
            and target.value.id == "self"
        ):
            attribute = Binding(kind, place, target, value, steps)
            scope.parent.bindings.setdefault(f"self.{target.attr}", []).append(attribute)

    def updated(self, node: ast.Call, place: Place) -> None:
        """Bind `settings.update(other)` as a change of `settings`."""
        base = dotted(node.func.value) if isinstance(node.func, ast.Attribute) else None
        if base is not None:
            value = node.args[0] if node.args and not node.keywords else _dict_of(node)
            # Each call is a change of its own; a later one does not undo it.
            self.bind(f"{base}.update() {place.order}", Binding("update", place, node, value))

    def parameters(self, arguments: ast.arguments, scope: Scope, place: Place) -> None:
        """Bind a function's parameters, with their defaults."""
        positional = [*arguments.posonlyargs, *arguments.args]
        padding: list[ast.expr | None] = [None] * (len(positional) - len(arguments.defaults))
        defaults = [*padding, *arguments.defaults, *arguments.kw_defaults]
        for parameter, default in zip([*positional, *arguments.kwonlyargs], defaults, strict=True):
            scope.bindings[parameter.arg] = [
                Binding("parameter", place, parameter, default, target=parameter.arg)
            ]
        for rest in (arguments.vararg, arguments.kwarg):
            if rest is not None:
                scope.bindings[rest.arg] = [Binding("run-time", place, rest, target=rest.arg)]

    # Statements. Each handler returns whether what follows in the block is never reached.

    def _on_assign(self, node: ast.Assign, place: Place) -> bool:
        self.searched(node.value, place)
        for target in node.targets:
            if isinstance(target, ast.Subscript):
                self.searched(target, place)
            self.assigned(target, node.value, place, place)
        return False

    def _on_annotated(self, node: ast.AnnAssign, place: Place) -> bool:
        if node.value is not None:
            self.searched(node.value, place)
        name = dotted(node.target)
        if name is not None and (node.value is not None or place.scope.kind == "class"):
            kind: BindingKind = "value" if node.value is not None else "run-time"
            self.bind(name, Binding(kind, place, node, node.value))
            self.method_attribute(node.target, kind, node.value, (), place)
        return False

    def _on_augmented(self, node: ast.AugAssign, place: Place) -> bool:
        self.searched(node.value, place)
        name = dotted(node.target)
        if name is not None:
            self.bind(name, Binding("run-time" if place.loops else "augmented", place, node, node.value))
        return False

    def _on_delete(self, node: ast.Delete, place: Place) -> bool:
        self.names.deletions += [(target, place) for target in node.targets]
        return False

    def _on_import(self, node: ast.Import, place: Place) -> bool:
        for alias in node.names:
            self.names.imports.add(alias.name.partition(".")[0])
            bound, target = (
                (alias.asname, alias.name) if alias.asname else (alias.name.partition(".")[0],) * 2
            )
            self.bind(bound, Binding("import", place, node, target=target))
        return False

    def _on_import_from(self, node: ast.ImportFrom, place: Place) -> bool:
        module = "." * node.level + (node.module or "")
        self.names.imports.add(module.partition(".")[0])
        for alias in node.names:
            if alias.name == "*":
                place.scope.stars.append(module)
                continue
            target = f"{module}{alias.name}" if module.endswith(".") else f"{module}.{alias.name}"
            self.bind(alias.asname or alias.name, Binding("import", place, node, target=target))
        return False

    def _on_function(self, node: Definition, place: Place) -> bool:
        scope = Scope("function", node, place.scope, place)
        self.names.scopes[node] = scope
        self.names.definitions.setdefault(node.name, []).append(scope)
        self.bind(node.name, Binding("def", place, node))
        for expression in (
            *node.decorator_list,
            *node.args.defaults,
            *(d for d in node.args.kw_defaults if d),
        ):
            self.searched(expression, place)
        inside = Place(scope, self.order, (), place.cell)
        self.parameters(node.args, scope, inside)
        self.block(node.body, inside)
        return False

    def _on_class(self, node: ast.ClassDef, place: Place) -> bool:
        scope = Scope("class", node, place.scope, place)
        self.names.scopes[node] = scope
        self.bind(node.name, Binding("class", place, node))
        for expression in (*node.decorator_list, *node.bases):
            self.searched(expression, place)
        self.block(node.body, Place(scope, self.order, (), place.cell))
        return False

    def _on_if(self, node: ast.If, place: Place) -> bool:
        self.searched(node.test, place)
        truth = constant_truth(node.test)
        if truth is not None:
            body = node.body if truth else node.orelse
            return self.block(body, Place(place.scope, self.order, place.path, place.cell, place.loops))
        ends = [self.arm(node, 0, node.body, place), self.arm(node, 1, node.orelse, place)]
        self.names.covered[node] = frozenset(index for index, end in enumerate(ends) if end)
        return all(ends)

    def arm(
        self, branch: ast.If | ast.Try | ast.Match, index: int, body: Sequence[ast.stmt], place: Place
    ) -> bool:
        path = (*place.path, Arm(branch, index, place))
        return self.block(body, Place(place.scope, self.order, path, place.cell, place.loops))

    def _on_try(self, node: ast.Try, place: Place) -> bool:
        ended = self.arm(node, 0, node.body, place)
        ends = []
        for index, handler in enumerate(node.handlers, start=1):
            ends.append(self.arm(node, index, handler.body, place))
        self.names.covered[node] = frozenset(index for index, end in enumerate(ends, start=1) if end)
        after = Place(place.scope, self.order, place.path, place.cell, place.loops)
        self.block(
            node.orelse,
            Place(place.scope, self.order, (*place.path, Arm(node, 0, place)), place.cell, place.loops),
        )
        return self.block(node.finalbody, after) or (ended and bool(ends) and all(ends))

    def _on_match(self, node: ast.Match, place: Place) -> bool:
        self.searched(node.subject, place)
        for index, case in enumerate(node.cases):
            self.arm(node, index, case.body, place)
        return False

    def _on_loop(self, node: ast.For | ast.AsyncFor | ast.While, place: Place) -> bool:
        inside = Place(place.scope, place.order, place.path, place.cell, (*place.loops, node))
        if isinstance(node, ast.While):
            if constant_truth(node.test) is False:
                return self.block(node.orelse, place)
            self.searched(node.test, inside)
        else:
            self.searched(node.iter, place)
            self.assigned(node.target, None, inside, inside)
        self.block(node.body, inside)
        self.block(node.orelse, place)
        return False

    def _on_with(self, node: ast.With | ast.AsyncWith, place: Place) -> bool:
        for item in node.items:
            self.searched(item.context_expr, place)
            self.names.withs.append((item.context_expr, place, node))
            if item.optional_vars is not None:
                # What `__enter__` returns is nearly always the object itself, or stands for it.
                self.assigned(item.optional_vars, item.context_expr, place, place)
        return self.block(node.body, Place(place.scope, self.order, place.path, place.cell, place.loops))

    def _on_return(self, node: ast.Return, place: Place) -> bool:
        if node.value is not None:
            self.searched(node.value, place)
        place.scope.returns.append((node.value, place))
        return True

    def _on_end(self, node: ast.stmt, place: Place) -> bool:
        self.searched(node, place)
        return True

    def _on_global(self, node: ast.Global, place: Place) -> bool:
        place.scope.shared.update(node.names)
        return False

    _HANDLERS: ClassVar[dict[type[ast.AST], Callable[..., bool]]] = {
        ast.Assign: _on_assign,
        ast.AnnAssign: _on_annotated,
        ast.Delete: _on_delete,
        ast.AugAssign: _on_augmented,
        ast.Import: _on_import,
        ast.ImportFrom: _on_import_from,
        ast.FunctionDef: _on_function,
        ast.AsyncFunctionDef: _on_function,
        ast.ClassDef: _on_class,
        ast.If: _on_if,
        ast.Try: _on_try,
        ast.Match: _on_match,
        ast.For: _on_loop,
        ast.AsyncFor: _on_loop,
        ast.While: _on_loop,
        ast.With: _on_with,
        ast.AsyncWith: _on_with,
        ast.Return: _on_return,
        ast.Raise: _on_end,
        ast.Continue: _on_end,
        ast.Break: _on_end,
        ast.Global: _on_global,
    }


def _dict_of(node: ast.Call) -> ast.Call:
    """Return `dict(other, key=…)` for the arguments of `settings.update(other, key=…)`."""
    made = ast.Call(ast.Name("dict", ast.Load()), node.args, node.keywords)
    return ast.fix_missing_locations(ast.copy_location(made, node))


def dotted(node: ast.expr) -> str | None:
    """Return the key of a target's binding: `args.lr`, `config['lr']`; None without a fixed name."""
    match node:
        case ast.Name(id=name):
            return name
        case ast.Attribute(value=base, attr=attribute):
            inner = dotted(base)
            return None if inner is None else f"{inner}.{attribute}"
        case ast.Subscript(value=base, slice=ast.Constant(value=str() as key)):
            inner = dotted(base)
            return None if inner is None else f"{inner}[{key!r}]"
        case _:
            return None
