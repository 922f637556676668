"""The training loop as a program: its body, from the batch to the backward."""

from __future__ import annotations

import ast
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from vramlint.interpret import operators, statements
from vramlint.interpret.values import Data, Frame, NotUnderstood, Reached, Unread

if TYPE_CHECKING:
    from vramlint.facts.names import Place
    from vramlint.frontends.construction import Construction
    from vramlint.interpret.interpreter import Interpreter


@dataclass(frozen=True, slots=True, eq=False)
class Loop:
    """The statements that lead to a backward, and where they stand."""

    place: Place
    header: ast.For | ast.AsyncFor | None
    body: tuple[ast.stmt, ...]
    says_autocast: bool

    def frame(self) -> Frame:
        """Return the variables of the script around the loop."""
        return Frame(self.place.scope, place=self.place, lenient=True)

    def run(self, interpreter: Interpreter, frame: Frame) -> Any:
        """Run one round, and return the loss that it goes backward from."""
        if self.header is not None:
            statements.assign(interpreter, self.header.target, self._first(interpreter, frame), frame)
        try:
            for statement in self.body:
                _attempt(interpreter, statement, frame)
        except Reached as reached:
            return reached.loss
        raise NotUnderstood("the loop does not come to its backward")

    def _first(self, interpreter: Interpreter, frame: Frame) -> Any:
        assert self.header is not None
        data = Data("what the loop takes from its data is not known")
        if _draws_data(self.header.iter):
            return data
        try:
            values = interpreter.evaluate(self.header.iter, frame)
        except NotUnderstood:
            return data
        if isinstance(values, Unread):
            return data
        return next(iter(operators.iterated(interpreter, values)), data)


def _draws_data(node: ast.expr) -> bool:
    """Return whether a loop goes over a loader: anything but a range of numbers."""
    return not (isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "range")


def _attempt(interpreter: Interpreter, statement: ast.stmt, frame: Frame) -> None:
    """Run a statement of the script; what it assigns is unknown where it is not understood."""
    try:
        interpreter.execute([statement], frame)
    except NotUnderstood as reason:
        if not isinstance(statement, ast.Assign | ast.AnnAssign | ast.Expr | ast.AugAssign):
            raise
        targets = (
            statement.targets if isinstance(statement, ast.Assign) else [getattr(statement, "target", None)]
        )
        why = f"{reason.reason} ({reason.place})" if reason.place else reason.reason
        for target in targets:
            for name in ast.walk(target) if target is not None else ():
                if isinstance(name, ast.Name):
                    frame.locals[name.id] = Data(why)
                    interpreter.missed.append(frame.locals[name.id])


def loop_of(construction: Construction) -> Loop:
    """Return the loop around the backward of a training: the innermost, or the function that holds it."""
    place = construction.backward.place
    for loop in reversed(place.loops):
        header = loop if isinstance(loop, ast.For | ast.AsyncFor) else None
        body = tuple(getattr(loop, "body", ()))
        return Loop(place, header, body, _says_autocast(construction, place))
    body = tuple(getattr(place.scope.node, "body", ()))
    return Loop(place, None, body, _says_autocast(construction, place))


def _says_autocast(construction: Construction, place: Place) -> bool:
    """Return whether the script says itself where autocast begins."""
    del place
    names = construction.evaluator.names
    return any(
        "autocast" in ast.dump(expression) or isinstance(expression, ast.Name)
        for expression, _, _ in names.withs
    )
