"""Statements of the user's code."""

from __future__ import annotations

import ast
from contextlib import ExitStack, nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from vramlint.facts import values as facts
from vramlint.facts.names import terminal
from vramlint.facts.shown import source
from vramlint.interpret import attributes, operators
from vramlint.interpret.modules import is_module_class
from vramlint.interpret.values import Data, Frame, Function, Library, NotUnderstood, Object, Unread, UserClass
from vramlint.memory.tape import Tensor

if TYPE_CHECKING:
    from collections.abc import Callable

    from vramlint.interpret.interpreter import Interpreter


@dataclass(slots=True, eq=False)
class Signal:
    """What leaves a block early: a return with its value, a break, a continue."""

    kind: str
    value: Any = None


_BREAK, _CONTINUE = Signal("break"), Signal("continue")
_REPORTS = frozenset({"print", "warn", "warning", "info", "debug", "error", "log"})
_LEADS_ON = frozenset({"backward", "manual_backward"})


def _on_expression(interpreter: Interpreter, node: ast.Expr, frame: Frame) -> None:
    if not isinstance(node.value, ast.Constant):
        interpreter.evaluate(node.value, frame)


def _on_assign(interpreter: Interpreter, node: ast.Assign, frame: Frame) -> None:
    value = interpreter.evaluate(node.value, frame)
    for target in node.targets:
        assign(interpreter, target, value, frame)


def _on_annotated(interpreter: Interpreter, node: ast.AnnAssign, frame: Frame) -> None:
    if node.value is not None:
        assign(interpreter, node.target, interpreter.evaluate(node.value, frame), frame)


def _on_augmented(interpreter: Interpreter, node: ast.AugAssign, frame: Frame) -> None:
    left = interpreter.evaluate(_loaded(node.target), frame)
    right = interpreter.evaluate(node.value, frame)
    assign(interpreter, node.target, operators.augmented(interpreter, node.op, left, right), frame)


def _loaded(target: ast.expr) -> ast.expr:
    return target  # the handlers of names, attributes and subscripts do not look at the context


def assign(interpreter: Interpreter, target: ast.expr, value: Any, frame: Frame) -> None:
    """Bind a target; what a training script does not know comes from its data."""
    if (
        frame.lenient
        and isinstance(value, Unread)
        and not isinstance(value, Data)
        and not hasattr(value, "manager")
    ):
        value = Data(value.reason)
    if isinstance(target, ast.Name):
        holder = _holder(target.id, frame)
        holder.locals[target.id] = value
    elif isinstance(target, ast.Tuple | ast.List):
        _unpack(interpreter, target, value, frame)
    elif isinstance(target, ast.Attribute):
        attributes.store(interpreter, interpreter.evaluate(target.value, frame), target.attr, value)
    elif isinstance(target, ast.Subscript):
        _store_item(interpreter, target, value, frame)
    elif isinstance(target, ast.Starred):
        assign(interpreter, target.value, value, frame)


def _holder(name: str, frame: Frame) -> Frame:
    at = frame
    while name in at.globals and at.outer is not None:
        at = at.outer
    return at


def _store_item(interpreter: Interpreter, target: ast.Subscript, value: Any, frame: Frame) -> None:
    holder = interpreter.evaluate(target.value, frame)
    key = interpreter.evaluate(target.slice, frame)
    changed = attributes.store_item(interpreter, holder, key, value)
    if changed is not None:
        assign(interpreter, target.value, changed, frame)


def _unpack(interpreter: Interpreter, target: ast.Tuple | ast.List, value: Any, frame: Frame) -> None:
    parts = target.elts
    if isinstance(value, Unread):
        items: list[Any] = [value.part(index) for index in range(len(parts))]
    else:
        items = list(operators.iterated(interpreter, value))
    starred = next((i for i, part in enumerate(parts) if isinstance(part, ast.Starred)), None)
    if starred is not None:
        behind = len(parts) - starred - 1
        stop = len(items) - behind
        items = [*items[:starred], items[starred:stop], *items[stop:]]
    if len(items) != len(parts):
        raise ValueError(f"{len(items)} values for {len(parts)} names")
    del value
    for index, part in enumerate(parts):
        item, items[index] = items[index], None
        assign(interpreter, part, item, frame)


def _on_if(interpreter: Interpreter, node: ast.If, frame: Frame) -> Signal | None:
    truth = operators.truth(interpreter, interpreter.evaluate(node.test, frame))
    if truth is None:
        return _undecided(interpreter, node, frame)
    return interpreter.execute(node.body if truth else node.orelse, frame)


def _undecided(interpreter: Interpreter, node: ast.If, frame: Frame) -> Signal | None:
    """In a training script, go where the loop goes on; in a model, what the run decides is not known.

    A step that trains does not raise, and what only reports changes no memory.
    """
    if not frame.lenient:
        for body, other in ((node.body, node.orelse), (node.orelse, node.body)):
            if body and isinstance(body[-1], ast.Raise):
                return interpreter.execute(other, frame)
        if all(_only_reports(one, frame) for one in (*node.body, *node.orelse)):
            return None
        raise NotUnderstood(f"`if {source(node.test)}` depends on the run", node.lineno)
    for body in (node.body, node.orelse):
        if any(_leads_on(statement) for statement in body):
            return interpreter.execute(body, frame)
    leaves = node.body and isinstance(node.body[-1], ast.Continue | ast.Return | ast.Raise | ast.Break)
    return interpreter.execute(node.orelse, frame) if leaves or node.orelse else None


def _only_reports(statement: ast.stmt, frame: Frame) -> bool:
    """Return whether a statement is a call for its own sake that makes no tensor: of `print`, a logger, a trainer."""
    if isinstance(statement, ast.Pass):
        return True
    if not (isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Call)):
        return False
    is_trainers = frame.owner is not None and not is_module_class(frame.owner)
    return is_trainers or terminal(statement.value.func) in _REPORTS


def _leads_on(statement: ast.stmt) -> bool:
    for node in ast.walk(statement):
        if (
            isinstance(node, ast.Call)
            and isinstance(node.func, ast.Attribute)
            and node.func.attr in _LEADS_ON
        ):
            return True
    return False


def _on_for(interpreter: Interpreter, node: ast.For, frame: Frame) -> Signal | None:
    values = interpreter.evaluate(node.iter, frame)
    if isinstance(values, Unread):
        if not frame.lenient and not isinstance(values, Data):
            raise NotUnderstood(f"how often `for {source(node.target)}` runs depends on the run", node.lineno)
        values = [Data(f"`{source(node.target)}` comes from the data")] if _leads_on(node) else []
    for value in operators.iterated(interpreter, values):
        assign(interpreter, node.target, value, frame)
        del value
        signal = interpreter.execute(node.body, frame)
        if signal is not None and signal.kind == "break":
            return None
        if signal is not None and signal.kind == "return":
            return signal
    return interpreter.execute(node.orelse, frame)


def _on_while(interpreter: Interpreter, node: ast.While, frame: Frame) -> Signal | None:
    while True:
        truth = operators.truth(interpreter, interpreter.evaluate(node.test, frame))
        if truth is None:
            raise NotUnderstood(f"how often `while {source(node.test)}` runs depends on the run", node.lineno)
        if not truth:
            return interpreter.execute(node.orelse, frame)
        signal = interpreter.execute(node.body, frame)
        if signal is not None and signal.kind == "break":
            return None
        if signal is not None and signal.kind == "return":
            return signal


def _on_return(interpreter: Interpreter, node: ast.Return, frame: Frame) -> Signal:
    return Signal("return", None if node.value is None else interpreter.evaluate(node.value, frame))


def _on_break(_interpreter: Interpreter, _node: ast.Break, _frame: Frame) -> Signal:
    return _BREAK


def _on_continue(_interpreter: Interpreter, _node: ast.Continue, _frame: Frame) -> Signal:
    return _CONTINUE


def _on_with(interpreter: Interpreter, node: ast.With, frame: Frame) -> Signal | None:
    with ExitStack() as stack:
        for part in node.items:
            value = interpreter.evaluate(part.context_expr, frame)
            manager = getattr(value, "manager", None)
            stack.enter_context(manager(interpreter) if manager is not None else nullcontext())
            if part.optional_vars is not None:
                assign(interpreter, part.optional_vars, value, frame)
        return interpreter.execute(node.body, frame)


def _on_function(interpreter: Interpreter, node: ast.FunctionDef, frame: Frame) -> None:
    scope = interpreter.evaluator.scopes.get(node, frame.scope)
    frame.locals[node.name] = Function(node, scope, frame, frame.owner)


def _on_class(interpreter: Interpreter, node: ast.ClassDef, frame: Frame) -> None:
    scope = interpreter.evaluator.scopes.get(node)
    if scope is None:
        frame.locals[node.name] = Unread(f"the class `{node.name}` is not read")
        return
    made = interpreter.names.class_of(facts.Class(node, scope), frame)
    frame.locals[node.name] = made


def _on_raise(interpreter: Interpreter, node: ast.Raise, frame: Frame) -> None:
    if frame.lenient:
        return
    said = source(node.exc) if node.exc is not None else "an error"
    del interpreter
    raise NotUnderstood(f"the model raises `{said}`", node.lineno)


def _on_try(interpreter: Interpreter, node: ast.Try, frame: Frame) -> Signal | None:
    try:
        signal = interpreter.execute(node.body, frame)
    except NotUnderstood:
        if not node.handlers:
            raise
        signal = interpreter.execute(node.handlers[0].body, frame)
    else:
        signal = signal or interpreter.execute(node.orelse, frame)
    return interpreter.execute(node.finalbody, frame) or signal


def _on_delete(interpreter: Interpreter, node: ast.Delete, frame: Frame) -> None:
    for target in node.targets:
        if isinstance(target, ast.Name):
            frame.locals.pop(target.id, None)
        elif isinstance(target, ast.Attribute):
            holder = interpreter.evaluate(target.value, frame)
            attributes.forget(holder, target.attr)
        elif isinstance(target, ast.Subscript):
            holder = interpreter.evaluate(target.value, frame)
            if isinstance(holder, dict | list):
                del holder[interpreter.evaluate(target.slice, frame)]


def _on_global(_interpreter: Interpreter, node: ast.Global | ast.Nonlocal, frame: Frame) -> None:
    if isinstance(node, ast.Nonlocal):
        frame.globals.update(node.names)


def _on_import(interpreter: Interpreter, node: ast.Import, frame: Frame) -> None:
    del interpreter
    for alias in node.names:
        name = alias.name if alias.asname else alias.name.partition(".")[0]
        frame.locals[alias.asname or name] = Library(name)


def _on_import_from(interpreter: Interpreter, node: ast.ImportFrom, frame: Frame) -> None:
    module = "." * node.level + (node.module or "")
    names, base = interpreter.names, frame.scope
    for alias in node.names:
        target = f"{module}{alias.name}" if module.endswith(".") else f"{module}.{alias.name}"
        found = names.imported(target, base) if base is not None else None
        frame.locals[alias.asname or alias.name] = Library(target) if found is None else found


def _on_match(interpreter: Interpreter, node: ast.Match, frame: Frame) -> Signal | None:
    subject = interpreter.evaluate(node.subject, frame)
    for case in node.cases:
        if _matches(interpreter, case.pattern, subject, frame) and case.guard is None:
            return interpreter.execute(case.body, frame)
    return None


def _matches(interpreter: Interpreter, pattern: ast.pattern, subject: Any, frame: Frame) -> bool:
    if isinstance(subject, Unread | Tensor | Object | UserClass):
        raise NotUnderstood("a `match` statement depends on the run")
    if isinstance(pattern, ast.MatchValue):
        return bool(interpreter.evaluate(pattern.value, frame) == subject)
    if isinstance(pattern, ast.MatchSingleton):
        return subject is pattern.value
    if isinstance(pattern, ast.MatchOr):
        return any(_matches(interpreter, one, subject, frame) for one in pattern.patterns)
    if isinstance(pattern, ast.MatchAs) and pattern.pattern is None:
        if pattern.name is not None:
            frame.locals[pattern.name] = subject
        return True
    raise NotUnderstood("a `match` statement is not read")


HANDLERS: dict[type[ast.stmt], Callable[[Interpreter, Any, Frame], Signal | None]] = {
    ast.Expr: _on_expression,
    ast.Assign: _on_assign,
    ast.AnnAssign: _on_annotated,
    ast.AugAssign: _on_augmented,
    ast.If: _on_if,
    ast.For: _on_for,
    ast.While: _on_while,
    ast.Return: _on_return,
    ast.Break: _on_break,
    ast.Continue: _on_continue,
    ast.With: _on_with,
    ast.FunctionDef: _on_function,
    ast.ClassDef: _on_class,
    ast.Raise: _on_raise,
    ast.Try: _on_try,
    ast.Delete: _on_delete,
    ast.Global: _on_global,
    ast.Nonlocal: _on_global,
    ast.Import: _on_import,
    ast.ImportFrom: _on_import_from,
    ast.Match: _on_match,
}
