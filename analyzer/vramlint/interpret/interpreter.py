"""The interpreter: one program's classes and functions, walked within bounds on the engine's tape."""

from __future__ import annotations

import copy
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from vramlint.facts.shown import source
from vramlint.interpret import calls, expressions, statements
from vramlint.interpret.names import Names
from vramlint.interpret.values import Data, NotUnderstood, Unread
from vramlint.memory.modules import Buffer, Parameter
from vramlint.memory.tape import Tape, Tensor

if TYPE_CHECKING:
    import ast
    from collections.abc import Iterator, Sequence

    from vramlint.facts.evaluate import Evaluator
    from vramlint.interpret.data import Materials
    from vramlint.interpret.statements import Signal
    from vramlint.interpret.values import Frame
    from vramlint.memory.dtypes import DType
    from vramlint.memory.modules import Module

MOST_STEPS = 1_000_000
DEEPEST = 48
# What Python itself raises where a program's values do not fit together.
_MISFITS = (
    TypeError,
    ValueError,
    IndexError,
    KeyError,
    AttributeError,
    ZeroDivisionError,
    OverflowError,
    RecursionError,
    AssertionError,
    StopIteration,
)


class Interpreter:
    """Evaluates the user's code. `materials` says what the tensors of a batch are; `tape` is where tensors go."""

    def __init__(self, evaluator: Evaluator) -> None:
        self.evaluator = evaluator
        self.names = Names(self)
        self.scratch = Tape()
        self.scratch.grad_enabled = False
        self.tape = self.scratch
        self.materials: Materials | None = None
        self.training = True
        self.depth = 0
        self.placed: set[int] = set()
        self.steps = 0
        self.autocast: DType | None = None
        self.missed: list[Data] = []  # what statements of the loop give that are not understood

    def restart(self, tape: Tape) -> None:
        """Go on with another tape, and a fresh budget of steps."""
        self.tape, self.steps, self.depth = tape, 0, 0
        self.missed.clear()

    def evaluate(self, node: ast.expr, frame: Frame) -> Any:
        """Return what an expression is worth.

        Raises:
            NotUnderstood: where that decides the memory and cannot be said.
        """
        self.steps += 1
        if self.steps > MOST_STEPS:
            raise NotUnderstood("the model takes too many steps to follow", getattr(node, "lineno", None))
        handler = expressions.HANDLERS.get(type(node))
        if handler is None:
            return Unread(f"`{source(node)}` is not read")
        return handler(self, node, frame)

    def attempt(self, node: ast.expr, frame: Frame) -> Any:
        """Return what an expression of the script is worth, an `Unread` where it is not understood."""
        try:
            return self.evaluate(node, frame)
        except NotUnderstood as reason:
            return Unread(f"{reason.reason} ({reason.place})" if reason.place else reason.reason)
        except _MISFITS as error:
            return Unread(f"`{source(node)}` does not fit together: {error}")

    def execute(self, body: Sequence[ast.stmt], frame: Frame) -> Signal | None:
        """Run statements; return what leaves the block early."""
        for statement in body:
            try:
                signal = self._one(statement, frame)
            except NotUnderstood as reason:
                if reason.line is None:
                    reason.line = statement.lineno
                reason.path = reason.path or self.names.path(frame)
                raise
            except _MISFITS as error:
                found = NotUnderstood(_said(statement, error), statement.lineno)
                found.path = self.names.path(frame)
                raise found from None
            if signal is not None:
                return signal
        return None

    def _one(self, statement: ast.stmt, frame: Frame) -> Signal | None:
        handler = statements.HANDLERS.get(type(statement))
        return handler(self, statement, frame) if handler is not None else None

    def call(self, function: Any, args: list[Any], kwargs: dict[str, Any]) -> Any:
        """Call anything that can be called."""
        if self.depth > DEEPEST:
            raise NotUnderstood("the model's calls go too deep to follow")
        self.depth += 1
        try:
            return calls.call(self, function, args, kwargs)
        finally:
            self.depth -= 1

    @contextmanager
    def without_gradient(self) -> Iterator[None]:
        """Walk without recording."""
        with self.tape.no_grad():
            yield

    def tensor(self, value: Any, like: Tensor | None = None) -> Any:
        """Return a value as a tensor of the tape: weights as their tensors, batches as what is needed here."""
        if isinstance(value, Tensor):
            if value.tape is self.tape:
                return value
            return self.tape.empty(value.shape, value.dtype)  # made with the model, used on the GPU
        if isinstance(value, Parameter | Buffer):
            if value.tensor is None and self.tape is not self.scratch:
                self._place(value)
            if value.tensor is not None and value.tensor.tape is self.tape:
                return value.tensor
            return self.tape.empty(value.shape, value.dtype)
        if isinstance(value, Data) and self.materials is not None:
            return self.materials.tensor(self, value, like)
        if isinstance(value, Unread):
            raise NotUnderstood(value.reason)
        return value

    def ensure_placed(self, module: Module) -> None:
        """Put a further model, that the loop calls beside the trained one, on the tape."""
        if id(module) in self.placed or self.tape is self.scratch:
            return
        self.placed.add(id(module))
        for _, tensor in module.named_tensors():
            if tensor.tensor is None:
                self._place(tensor)

    def _place(self, value: Parameter | Buffer) -> None:
        arena = self.tape.arena
        label, kind = arena.label, arena.kind
        arena.label, arena.kind = "weights", "extra weight"
        value.place(self.tape)
        arena.label, arena.kind = label, kind

    def deepcopy(self, value: Any) -> Any:
        """Return a copy of a module or container, its weights copied too."""
        return copy.deepcopy(value)


def _said(statement: ast.stmt, error: BaseException) -> str:
    text = source(statement).partition("\n")[0]
    return f"`{text}` does not fit together: {error}" if str(error) else f"`{text}` cannot be followed"
