"""Expressions of the user's code."""

from __future__ import annotations

import ast
from typing import TYPE_CHECKING, Any

from vramlint.facts.shown import source
from vramlint.interpret import attributes, operators
from vramlint.interpret.values import Frame, Function, NotUnderstood, Slice, Super, Unread
from vramlint.memory.tape import Tensor

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from vramlint.interpret.interpreter import Interpreter


def _on_constant(_interpreter: Interpreter, node: ast.Constant, _frame: Frame) -> Any:
    return node.value


def _on_name(interpreter: Interpreter, node: ast.Name, frame: Frame) -> Any:
    locals_ = frame.locals
    return locals_[node.id] if node.id in locals_ else interpreter.names.look_up(node.id, frame)


def _on_attribute(interpreter: Interpreter, node: ast.Attribute, frame: Frame) -> Any:
    return attributes.attribute(interpreter, interpreter.evaluate(node.value, frame), node.attr)


def _on_subscript(interpreter: Interpreter, node: ast.Subscript, frame: Frame) -> Any:
    holder = interpreter.evaluate(node.value, frame)
    return attributes.item(interpreter, holder, interpreter.evaluate(node.slice, frame))


def _on_slice(interpreter: Interpreter, node: ast.Slice, frame: Frame) -> Slice:
    parts = [
        None if p is None else interpreter.evaluate(p, frame) for p in (node.lower, node.upper, node.step)
    ]
    return Slice(*parts)


def _on_call(interpreter: Interpreter, node: ast.Call, frame: Frame) -> Any:
    if frame.place is not None and (made := interpreter.names.pinned(node)) is not None:
        return made
    if isinstance(node.func, ast.Name) and node.func.id == "super":
        return _super(interpreter, node, frame)
    function = interpreter.evaluate(node.func, frame)
    args = list(_arguments(interpreter, node, frame))
    kwargs = _keywords(interpreter, node, frame)
    try:
        return interpreter.call(function, args, kwargs)
    except NotUnderstood as reason:
        if reason.line is None:
            reason.line = node.lineno
        raise


def _super(interpreter: Interpreter, node: ast.Call, frame: Frame) -> Any:
    at: Frame | None = frame
    while at is not None and (at.owner is None or "self" not in at.locals):
        at = at.outer
    if at is None or at.owner is None:
        if node.args:
            return Super(interpreter.evaluate(node.args[0], frame), interpreter.evaluate(node.args[1], frame))
        raise NotUnderstood("`super()` is not followed here", node.lineno)
    return Super(at.owner, at.locals["self"])


def _arguments(interpreter: Interpreter, node: ast.Call, frame: Frame) -> Iterator[Any]:
    for part in node.args:
        if isinstance(part, ast.Starred):
            value = interpreter.evaluate(part.value, frame)
            if isinstance(value, Unread):
                raise NotUnderstood(f"`*{source(part.value)}`: {value.reason}", node.lineno)
            yield from operators.iterated(interpreter, value)
        else:
            yield interpreter.evaluate(part, frame)


def _keywords(interpreter: Interpreter, node: ast.Call, frame: Frame) -> dict[str, Any]:
    given: dict[str, Any] = {}
    for keyword in node.keywords:
        value = interpreter.evaluate(keyword.value, frame)
        if keyword.arg is not None:
            given[keyword.arg] = value
        else:
            given.update(attributes.mapping(interpreter, value))
    return given


def _on_binary(interpreter: Interpreter, node: ast.BinOp, frame: Frame) -> Any:
    left = interpreter.evaluate(node.left, frame)
    right = interpreter.evaluate(node.right, frame)
    return operators.binary(interpreter, type(node.op), left, right)


def _on_unary(interpreter: Interpreter, node: ast.UnaryOp, frame: Frame) -> Any:
    return operators.unary(interpreter, type(node.op), interpreter.evaluate(node.operand, frame))


def _on_compare(interpreter: Interpreter, node: ast.Compare, frame: Frame) -> Any:
    left = interpreter.evaluate(node.left, frame)
    result: Any = True
    for kind, part in zip(node.ops, node.comparators, strict=True):
        right = interpreter.evaluate(part, frame)
        result = operators.compare(interpreter, type(kind), left, right)
        if result is not True:
            return result
        left = right
    return result


def _on_boolean(interpreter: Interpreter, node: ast.BoolOp, frame: Frame) -> Any:
    stops_at = isinstance(node.op, ast.Or)
    open_side: Any = None
    for part in node.values:
        value = interpreter.evaluate(part, frame)
        truth = operators.truth(interpreter, value)
        if truth is stops_at:
            return value
        if truth is None:
            open_side = open_side or Unread(f"`{source(node)}` depends on the run")
    return value if open_side is None else open_side


def _on_condition(interpreter: Interpreter, node: ast.IfExp, frame: Frame) -> Any:
    truth = operators.truth(interpreter, interpreter.evaluate(node.test, frame))
    if truth is None:
        return Unread(f"`{source(node.test)}` depends on the run")
    return interpreter.evaluate(node.body if truth else node.orelse, frame)


def _on_text(interpreter: Interpreter, node: ast.JoinedStr, frame: Frame) -> Any:
    parts = []
    for part in node.values:
        if isinstance(part, ast.Constant):
            parts.append(str(part.value))
            continue
        assert isinstance(part, ast.FormattedValue)
        value = interpreter.evaluate(part.value, frame)
        if not isinstance(value, str | int | float | bool | None):
            return Unread(f"the text `{source(node)}` depends on the run")
        parts.append(str(value))
    return "".join(parts)


def _on_tuple(interpreter: Interpreter, node: ast.Tuple, frame: Frame) -> Any:
    return tuple(_display(interpreter, node.elts, frame))


def _on_list(interpreter: Interpreter, node: ast.List, frame: Frame) -> Any:
    return list(_display(interpreter, node.elts, frame))


def _on_set(interpreter: Interpreter, node: ast.Set, frame: Frame) -> Any:
    return set(_display(interpreter, node.elts, frame))


def _display(interpreter: Interpreter, parts: list[ast.expr], frame: Frame) -> Iterator[Any]:
    for part in parts:
        if isinstance(part, ast.Starred):
            yield from operators.iterated(interpreter, interpreter.evaluate(part.value, frame))
        else:
            yield interpreter.evaluate(part, frame)


def _on_dict(interpreter: Interpreter, node: ast.Dict, frame: Frame) -> Any:
    made: dict[Any, Any] = {}
    for key, value in zip(node.keys, node.values, strict=True):
        if key is None:
            made.update(attributes.mapping(interpreter, interpreter.evaluate(value, frame)))
        else:
            made[interpreter.evaluate(key, frame)] = interpreter.evaluate(value, frame)
    return made


def _on_lambda(interpreter: Interpreter, node: ast.Lambda, frame: Frame) -> Function:
    return Function(node, interpreter.evaluator.scopes.get(node, frame.scope), frame, frame.owner)


def _on_walrus(interpreter: Interpreter, node: ast.NamedExpr, frame: Frame) -> Any:
    value = interpreter.evaluate(node.value, frame)
    frame.locals[node.target.id] = value
    return value


def _on_list_comprehension(
    interpreter: Interpreter, node: ast.ListComp | ast.GeneratorExp, frame: Frame
) -> Any:
    return [interpreter.evaluate(node.elt, inner) for inner in _looped(interpreter, node.generators, frame)]


def _on_set_comprehension(interpreter: Interpreter, node: ast.SetComp, frame: Frame) -> Any:
    return {interpreter.evaluate(node.elt, inner) for inner in _looped(interpreter, node.generators, frame)}


def _on_dict_comprehension(interpreter: Interpreter, node: ast.DictComp, frame: Frame) -> Any:
    return {
        interpreter.evaluate(node.key, inner): interpreter.evaluate(node.value, inner)
        for inner in _looped(interpreter, node.generators, frame)
    }


def _looped(interpreter: Interpreter, generators: list[ast.comprehension], frame: Frame) -> Iterator[Frame]:
    """Yield a frame for each round of a comprehension."""
    first, rest = generators[0], generators[1:]
    values = interpreter.evaluate(first.iter, frame)
    if isinstance(values, Unread):
        raise NotUnderstood(values.reason)
    for value in operators.iterated(interpreter, values):
        inner = Frame(frame.scope, {}, frame, frame.owner)
        from vramlint.interpret.statements import assign  # noqa: PLC0415  statements build on expressions

        assign(interpreter, first.target, value, inner)
        tests = [operators.truth(interpreter, interpreter.evaluate(test, inner)) for test in first.ifs]
        if None in tests:
            raise NotUnderstood(f"`if {source(first.ifs[0])}` depends on the run")
        if all(tests):
            yield from _looped(interpreter, rest, inner) if rest else (inner,)


def _on_starred(interpreter: Interpreter, node: ast.Starred, frame: Frame) -> Any:
    value = interpreter.evaluate(node.value, frame)
    return value if isinstance(value, Tensor) else list(operators.iterated(interpreter, value))


HANDLERS: dict[type[ast.expr], Callable[[Interpreter, Any, Frame], Any]] = {
    ast.Constant: _on_constant,
    ast.Name: _on_name,
    ast.Attribute: _on_attribute,
    ast.Subscript: _on_subscript,
    ast.Slice: _on_slice,
    ast.Call: _on_call,
    ast.BinOp: _on_binary,
    ast.UnaryOp: _on_unary,
    ast.Compare: _on_compare,
    ast.BoolOp: _on_boolean,
    ast.IfExp: _on_condition,
    ast.JoinedStr: _on_text,
    ast.Tuple: _on_tuple,
    ast.List: _on_list,
    ast.Set: _on_set,
    ast.Dict: _on_dict,
    ast.Lambda: _on_lambda,
    ast.NamedExpr: _on_walrus,
    ast.ListComp: _on_list_comprehension,
    ast.GeneratorExp: _on_list_comprehension,
    ast.SetComp: _on_set_comprehension,
    ast.DictComp: _on_dict_comprehension,
    ast.Starred: _on_starred,
}
