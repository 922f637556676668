"""Optimizer states and the temporaries of `optimizer.step()`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from vramlint.knowledge.optimizer import Implementation, Optimizer, State, Temporary, Variant
from vramlint.knowledge.optimizer import Parameter as ParameterShape
from vramlint.memory.arena import Key
from vramlint.memory.modules import Parameter
from vramlint.memory.tape import Storage, Tape


@dataclass(slots=True)
class OptimizerStep:
    """An optimizer at work: makes its states at the first step and its temporaries at each."""

    optimizer: Optimizer
    variant: Variant
    implementation: Implementation
    _states: list[Storage] = field(default_factory=list)
    _stepped: bool = False

    def run(self, tape: Tape, parameters: Sequence[Parameter]) -> None:
        """Do one step on the parameters that have a gradient."""
        parameters = [p for p in parameters if p.grad is not None]
        if not self._stepped:
            self._make_states(tape, parameters)
            self._stepped = True
        temporary = self.optimizer.temporaries(self.variant).get(self.implementation)
        if temporary is not None:
            _allocate_temporary(tape, parameters, temporary)

    def _make_states(self, tape: Tape, parameters: Sequence[Parameter]) -> None:
        for parameter in parameters:
            for state in self.optimizer.states(_shape_of(parameter), self.variant):
                if state.where == "gpu":
                    self._states.append(_state_storage(tape, state, parameter.copies))


def _shape_of(parameter: Parameter) -> ParameterShape:
    return ParameterShape(parameter.shape, parameter.dtype.bits, parameter.is_embedding)


def _state_storage(tape: Tape, state: State, copies: int) -> Storage:
    return Storage(tape, Key(state.name, "optimizer state", state.shape, state.bits), copies)


def _allocate_temporary(tape: Tape, parameters: Sequence[Parameter], temporary: Temporary) -> None:
    """Allocate and free the step's temporaries: those of the whole group, and those of one tensor's turn."""
    held = []
    for parameter in parameters:
        size = temporary.whole(_shape_of(parameter))
        if size:
            held.append(_copy_storage(tape, size, parameter))
    turn = temporary.turn([_shape_of(parameter) for parameter in parameters])
    if turn:
        held.append(Storage(tape, Key("optimizer step", "step temporary", (turn,), 8)))


def _copy_storage(tape: Tape, size: int, parameter: Parameter) -> Storage:
    """Return `size` bytes for one parameter: as copies of it where it is a whole number of them."""
    copies, rest = divmod(size * 8, parameter.numel * parameter.dtype.bits)
    if rest:
        return Storage(tape, Key("optimizer step", "step temporary", (size,), 8), parameter.copies)
    key = Key("optimizer step", "step temporary", parameter.shape, parameter.dtype.bits)
    return Storage(tape, key, parameter.copies * copies)
