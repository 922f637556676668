"""Calls: of functions and methods of the user's, of classes, modules and library functions."""

from __future__ import annotations

import ast
from typing import TYPE_CHECKING, Any

from vramlint.facts.names import terminal
from vramlint.interpret import library, python
from vramlint.interpret.modules import Container, UserModule, is_module_class
from vramlint.interpret.values import (
    Data,
    Frame,
    Function,
    Library,
    Method,
    Native,
    NotUnderstood,
    Object,
    Partial,
    Record,
    Unread,
    UserClass,
)
from vramlint.memory.modules import Module

if TYPE_CHECKING:
    from vramlint.interpret.interpreter import Interpreter
    from vramlint.interpret.statements import Signal

# Methods that fill weights with numbers, which memory does not notice.
_FILLING = frozenset({
    "initialize_weights", "_initialize_weights", "init_weights", "_init_weights", "weights_init", "weight_init",
    "reset_parameters", "_reset_parameters", "initialize_parameters", "init_parameters",
})  # fmt: skip
_WITHOUT_GRADIENT = {"no_grad", "inference_mode"}


def call(  # noqa: C901, PLR0911  one early return for each kind of callable
    interpreter: Interpreter, function: Any, args: list[Any], kwargs: dict[str, Any]
) -> Any:
    """Call anything that can be called; the lists are the callee's from here on."""
    if isinstance(function, Method):
        if getattr(function.function.node, "name", "") in _FILLING:
            return None
        args.insert(0, function.of)
        return _run(interpreter, function.function, args, kwargs)
    if isinstance(function, Function):
        return _run(interpreter, function, args, kwargs)
    if isinstance(function, UserModule):
        return forward(interpreter, function, args, kwargs)
    if isinstance(function, Module):
        return library.apply_layer(interpreter, function, args, kwargs)
    if isinstance(function, Library):
        return library.call(interpreter, function, args, kwargs)
    if isinstance(function, Native):
        return function.call(*args, **kwargs)
    if isinstance(function, UserClass):
        return construct(interpreter, function, args, kwargs)
    if isinstance(function, Partial):
        return interpreter.call(function.function, [*function.args, *args], {**function.kwargs, **kwargs})
    if isinstance(function, Object):
        found = find(function.cls, "__call__")
        if isinstance(found, Function):
            return _run(interpreter, found, [function, *args], kwargs)
    if isinstance(function, Unread):
        made = type(function)(function.reason)
        made.derived = function.derived or any(isinstance(one, Data) for one in args)
        return made
    raise NotUnderstood(f"a {python.kind_of(function)} is called")


def forward(interpreter: Interpreter, module: UserModule, args: list[Any], kwargs: dict[str, Any]) -> Any:
    """Run a module; its arguments stay alive until it is done (torch/nn/modules/module.py, _call_impl)."""
    found = find(module.cls, "forward")
    if not isinstance(found, Function):
        return _inherited_forward(interpreter, module, args, kwargs)
    interpreter.ensure_placed(module)
    arena = interpreter.tape.arena
    before, arena.label = arena.label, module.label or arena.label
    try:
        return _run(interpreter, found, [module, *args], dict(kwargs))
    finally:
        arena.label = before


def _inherited_forward(
    interpreter: Interpreter, module: UserModule, args: list[Any], kwargs: dict[str, Any]
) -> Any:
    if module.base is None:
        raise NotUnderstood(f"the class `{module.cls.name}` has no `forward` that is read")
    if isinstance(module.base, Container):
        module.base.parts = module.attributes
    return library.apply_layer(interpreter, module.base, args, kwargs)


def find(cls: UserClass, name: str, after: UserClass | None = None) -> Any:
    """Return a method or class attribute, searching the lineage, behind `after` where it is given; None if absent."""
    line = cls.lineage
    if after is not None and after in line:
        line = line[line.index(after) + 1 :]
    for one in line:
        if name in one.attributes:
            return one.attributes[name]
        member = _member(one, name)
        if member is not None:
            return member
    return None


def _member(cls: UserClass, name: str) -> Any:
    for statement in reversed(cls.node.body):
        if isinstance(statement, ast.FunctionDef | ast.AsyncFunctionDef) and statement.name == name:
            if any(terminal(_undecorated(one)) in {"setter", "overload"} for one in statement.decorator_list):
                continue
            return Function(statement, cls.scope, cls.outer, cls)
    return None


def class_value(interpreter: Interpreter, cls: UserClass, name: str) -> Any:
    """Return what a class's own body assigns to a name; raises KeyError where none does."""
    for one in cls.lineage:
        if name in one.attributes:
            return one.attributes[name]
        for statement in reversed(one.node.body):
            value = _assigned(statement, name)
            if value is not None:
                result = interpreter.evaluate(value, Frame(one.scope, outer=one.outer))
                one.attributes[name] = result
                return result
    raise KeyError(name)


def _assigned(statement: ast.stmt, name: str) -> ast.expr | None:
    targets: list[ast.expr] = []
    if isinstance(statement, ast.Assign):
        targets = statement.targets
    elif isinstance(statement, ast.AnnAssign):
        targets = [statement.target]
    named = any(isinstance(target, ast.Name) and target.id == name for target in targets)
    return statement.value if named and isinstance(statement, ast.Assign | ast.AnnAssign) else None


def _undecorated(node: ast.expr) -> ast.expr:
    return node.func if isinstance(node, ast.Call) else node


def decorators(function: Function) -> set[str]:
    """Return the last names of a function's decorators."""
    listed = getattr(function.node, "decorator_list", ())
    return {terminal(_undecorated(one)) for one in listed}


def _run(interpreter: Interpreter, function: Function, args: list[Any], kwargs: dict[str, Any]) -> Any:
    frame = Frame(function.scope, _bind(interpreter, function, args, kwargs), function.outer, function.owner)
    args.clear()
    kwargs.clear()
    if isinstance(function.node, ast.Lambda):
        return interpreter.evaluate(function.node.body, frame)
    if _yields(function.node):
        raise NotUnderstood(f"the generator `{function.node.name}` is not followed", function.node.lineno)
    if decorators(function) & _WITHOUT_GRADIENT:
        with interpreter.without_gradient():
            signal = interpreter.execute(function.node.body, frame)
    else:
        signal = interpreter.execute(function.node.body, frame)
    return _returned(signal)


def _yields(node: ast.FunctionDef | ast.AsyncFunctionDef) -> bool:
    return any(
        isinstance(part, ast.Yield | ast.YieldFrom)
        for statement in node.body
        if isinstance(statement, ast.Expr | ast.For | ast.While | ast.With)
        for part in ast.walk(statement)
    )


def _returned(signal: Signal | None) -> Any:
    return None if signal is None else signal.value


def _bind(
    interpreter: Interpreter, function: Function, args: list[Any], kwargs: dict[str, Any]
) -> dict[str, Any]:
    """Bind arguments to parameters as Python does."""
    declared = function.node.args
    positional = [*declared.posonlyargs, *declared.args]
    bound: dict[str, Any] = {one.arg: value for one, value in zip(positional, args, strict=False)}
    if declared.vararg is not None:
        bound[declared.vararg.arg] = tuple(args[len(positional) :])
    elif len(args) > len(positional):
        raise TypeError(f"{_name(function)} takes {len(positional)} arguments and gets {len(args)}")
    names = {one.arg for one in (*positional, *declared.kwonlyargs)}
    rest = {name: value for name, value in kwargs.items() if name not in names}
    if declared.kwarg is not None:
        bound[declared.kwarg.arg] = rest
    elif rest:
        raise TypeError(f"{_name(function)} has no parameter {next(iter(rest))!r}")
    bound.update({name: value for name, value in kwargs.items() if name in names})
    _fill_defaults(interpreter, function, bound)
    return bound


def _fill_defaults(interpreter: Interpreter, function: Function, bound: dict[str, Any]) -> None:
    declared = function.node.args
    positional = [*declared.posonlyargs, *declared.args]
    defaults: list[ast.expr | None] = [None] * (len(positional) - len(declared.defaults))
    pairs = zip(
        (*positional, *declared.kwonlyargs),
        (*defaults, *declared.defaults, *declared.kw_defaults),
        strict=True,
    )
    outer = function.outer or Frame(function.scope)
    for parameter, default in pairs:
        if parameter.arg in bound:
            continue
        if default is None:
            raise TypeError(f"{_name(function)} lacks the argument {parameter.arg!r}")
        bound[parameter.arg] = interpreter.evaluate(default, outer)


def _name(function: Function) -> str:
    return f"`{getattr(function.node, 'name', 'lambda')}`"


def construct(interpreter: Interpreter, cls: UserClass, args: list[Any], kwargs: dict[str, Any]) -> Any:
    """Make an object of a class of the user's."""
    if is_module_class(cls):
        made: Any = UserModule(cls)
    elif any(name.endswith(("Function", "autograd.Function")) for name in cls.bases):
        return Unread(f"the autograd function `{cls.name}` is not followed")
    elif any(name.rpartition(".")[2] in {"Enum", "IntEnum", "StrEnum"} for name in cls.bases):
        return args[0]
    else:
        made = Object(cls)
    initialize = find(cls, "__init__")
    if isinstance(initialize, Function) and any(name.endswith("LightningModule") for name in cls.bases):
        bound = _bind(interpreter, initialize, [made, *args], dict(kwargs))
        made.attributes["hparams"] = Record(
            {name: value for name, value in bound.items() if value is not made}
        )
    if isinstance(initialize, Function):
        _run(interpreter, initialize, [made, *args], kwargs)
    elif isinstance(made, UserModule):
        library.inherited_init(interpreter, made, args, kwargs)
    else:
        _fill_fields(interpreter, made, args, kwargs)
    after = find(cls, "__post_init__")
    if isinstance(after, Function):
        _run(interpreter, after, [made], {})
    return made


def _fill_fields(interpreter: Interpreter, made: Object, args: list[Any], kwargs: dict[str, Any]) -> None:
    """Do what a dataclass's, a pydantic model's or a named tuple's own constructor does."""
    fields: dict[str, tuple[ast.expr | None, Frame]] = {}
    for one in reversed(made.cls.lineage):
        for statement in one.node.body:
            if isinstance(statement, ast.AnnAssign) and isinstance(statement.target, ast.Name):
                fields[statement.target.id] = (statement.value, Frame(one.scope, outer=one.outer))
    made.attributes.update(dict(zip(fields, args, strict=False)))
    made.attributes.update(kwargs)
    for name, (default, frame) in fields.items():
        if name not in made.attributes and default is not None:
            made.attributes[name] = _field_default(interpreter, default, frame)


def _field_default(interpreter: Interpreter, default: ast.expr, frame: Frame) -> Any:
    if isinstance(default, ast.Call) and terminal(default.func) in {"field", "Field"}:
        for keyword in default.keywords:
            value = interpreter.evaluate(keyword.value, frame)
            if keyword.arg == "default":
                return value
            if keyword.arg == "default_factory":
                return interpreter.call(value, [], {})
        return Unread("a field has no default")
    return interpreter.evaluate(default, frame)
