"""Optimizer states and the temporaries of `optimizer.step()`."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from vramlint.knowledge.optimizer import Implementation, Optimizer, State, Temporary, Variant
from vramlint.knowledge.optimizer import Parameter as ParameterShape
from vramlint.memory.arena import Key
from vramlint.memory.sharding import WHOLE, Scheme
from vramlint.memory.tape import Storage, Tape

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from vramlint.memory.modules import Parameter

# Names of layers that transformers' Trainer gives no weight decay, besides every bias (get_decay_parameter_names).
_MATRIX = 2


@dataclass(slots=True)
class OptimizerStep:
    """An optimizer at work: makes its states at the first step and its temporaries at each.

    `splits_groups` says that parameters with and without weight decay are two groups, stepped one after
    the other, as the Trainer makes them. `in_backward`: each parameter is stepped, and its gradient
    dropped, as soon as backward has made it. `projected` are the identities of the weights that a low-rank
    optimizer projects.
    """

    optimizer: Optimizer
    variant: Variant
    implementation: Implementation
    scheme: Scheme = WHOLE
    splits_groups: bool = False
    in_backward: bool = False
    projected: frozenset[int] = frozenset()
    _states: list[Storage] = field(default_factory=list)
    _stepped: bool = False
    _late: Parameter | None = None

    @property
    def bytes(self) -> int:
        """Return the bytes of the states made so far, rounded to blocks."""
        return sum(state.size * state.count for state in self._states)

    def run(self, tape: Tape, parameters: Sequence[Parameter]) -> None:
        """Do one step on the parameters that have a gradient."""
        parameters = [p for p in parameters if p.has_grad]
        if self.scheme.offloads_states:
            return
        if not self._stepped:
            self._make_states(tape, parameters)
            self._stepped = True
        temporary = self.optimizer.temporaries(self.variant).get(self.implementation)
        for group in self._groups(parameters):
            held = self._fp32_gradients(tape, group)
            if temporary is not None:
                self._allocate_temporary(tape, group, temporary)
            del held

    def prepare(self, tape: Tape, parameters: Sequence[Parameter]) -> None:
        """Make what exists before the first step: fp32 master weights, and states of some optimizers."""
        trained = [p for p in parameters if p.trainable]
        if self.scheme.has_master_weights and not self.scheme.offloads_states:
            masters = (State("fp32 master weights", p.shape, 32) for p in trained)
            self._keep(tape, zip(trained, masters, strict=True))
        if self.optimizer.states_in_constructor and not self.scheme.offloads_states:
            self._make_states(tape, trained)
            self._stepped = True
        if self.in_backward:
            for parameter in trained:
                self._step_in_backward(tape, parameter)

    def _step_in_backward(self, tape: Tape, parameter: Parameter) -> None:
        """Let backward step one parameter; the first time makes its states, in as many layers as backward passes."""
        steps = _OneStep(self, tape, parameter, has_states=self._stepped)
        if self.scheme.splits_gradients:
            parameter.scattered = steps.run
        else:
            parameter.when_grad_arrives(steps.run)

    def step_one(self, tape: Tape, parameter: Parameter, *, has_states: bool) -> None:
        """Step one parameter inside of backward, or the one whose gradient came before where that is the rule."""
        if not has_states and not self.scheme.offloads_states:
            self._keep(tape, [(parameter, state) for state in self._states_of(parameter)], copies=1)
        if not self.optimizer.steps_late:
            self._use_up(tape, parameter)
            return
        before, self._late = self._late, parameter
        if before is not None and before is not parameter:
            self._use_up(tape, before)

    def finish_backward(self, tape: Tape) -> None:
        """Step the last parameter, for which no later gradient came."""
        last, self._late = self._late, None
        if last is not None:
            self._use_up(tape, last)

    def _use_up(self, tape: Tape, parameter: Parameter) -> None:
        if self.optimizer.steps_late:
            parameter.forget_grad()
        temporary = self.optimizer.temporaries(self.variant).get(self.implementation)
        if temporary is not None:
            size = temporary.bytes([self._shape_of(parameter)])
            self._copy(tape, (size,), 8, 1)
        parameter.forget_grad()

    def _groups(self, parameters: Sequence[Parameter]) -> list[list[Parameter]]:
        if not self.splits_groups:
            return [list(parameters)]
        decayed = [p for p in parameters if len(p.shape) >= _MATRIX]
        return [decayed, [p for p in parameters if len(p.shape) < _MATRIX]]

    def _make_states(self, tape: Tape, parameters: Sequence[Parameter]) -> None:
        for parameter in parameters:
            self._keep(tape, [(parameter, state) for state in self._states_of(parameter)])

    def _states_of(self, parameter: Parameter) -> tuple[State, ...]:
        variant = self.variant
        if variant.rank is not None and id(parameter) not in self.projected:
            variant = replace(variant, rank=None)
        return self.optimizer.states(self._shape_of(parameter), variant)

    def _keep(self, tape: Tape, states: Iterable[tuple[Parameter, State]], copies: int | None = None) -> None:
        for parameter, state in states:
            if state.where == "gpu":
                key = Key(state.name, "optimizer state", state.shape, state.bits, self.scheme.shards)
                self._states.append(Storage(tape, key, copies or parameter.copies))

    def _shape_of(self, parameter: Parameter) -> ParameterShape:
        """Return the parameter as the optimizer sees it: in fp32 where it works on master weights."""
        bits = 32 if self.scheme.has_master_weights else self.scheme.stored_dtype(parameter).bits
        return ParameterShape(parameter.shape, bits, parameter.is_embedding)

    def _fp32_gradients(self, tape: Tape, group: Sequence[Parameter]) -> list[Storage]:
        if not self.scheme.has_master_weights:
            return []
        return [self._copy(tape, p.shape, 32, p.copies) for p in group]

    def _allocate_temporary(self, tape: Tape, group: Sequence[Parameter], temporary: Temporary) -> None:
        """Allocate and free the step's temporaries: those of the whole group, and those of one tensor's turn."""
        shapes = [self._shape_of(parameter) for parameter in group]
        held = []
        for parameter, shape in zip(group, shapes, strict=True):
            size = temporary.whole(shape)
            if size:
                held.append(self._copies_of(tape, size, shape, parameter.copies))
        turn = temporary.turn(shapes)
        if turn:
            held.append(self._copy(tape, (turn,), 8, 1))

    def _copies_of(self, tape: Tape, size: int, shape: ParameterShape, layers: int) -> Storage:
        """Return `size` bytes for one parameter: as copies of it where it is a whole number of them."""
        copies, rest = divmod(size, shape.bytes)
        if rest:
            return self._copy(tape, (size,), 8, layers)
        return self._copy(tape, shape.shape, shape.bits, layers * copies)

    def _copy(self, tape: Tape, shape: tuple[int, ...], bits: int, count: int) -> Storage:
        return Storage(tape, Key("optimizer step", "step temporary", shape, bits, self.scheme.shards), count)


@dataclass(slots=True)
class _OneStep:
    """What backward runs when the gradient of one parameter is there."""

    optimizer: OptimizerStep
    tape: Tape
    parameter: Parameter
    has_states: bool

    def run(self) -> None:
        """Step the parameter, under the names that the ledger has for an optimizer's step."""
        arena = self.tape.arena
        label, kind = arena.label, arena.kind
        self.optimizer.step_one(self.tape, self.parameter, has_states=self.has_states)
        self.has_states = True
        arena.label, arena.kind = label, kind
