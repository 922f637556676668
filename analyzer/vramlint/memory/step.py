"""The training loop: walks the first steps of a run on the tape, phase by phase."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from vramlint.memory.arena import BLOCK
from vramlint.memory.errors import CannotEstimate
from vramlint.memory.families.base import Batch, InputSpec, Model, Output, Regime
from vramlint.memory.inference import roll_out
from vramlint.memory.inputs import make_batch
from vramlint.memory.offload import offloading

if TYPE_CHECKING:
    from vramlint.memory.arena import Mark
    from vramlint.memory.dtypes import DType
    from vramlint.memory.inference import Decoding
    from vramlint.memory.ledger import Phase
    from vramlint.memory.sharding import ShardedModel
    from vramlint.memory.smoothing import InLoop, InTrainer
    from vramlint.memory.states import OptimizerStep
    from vramlint.memory.tape import Tape, Tensor
    from vramlint.plan.document import Loop

# From the second step on nothing new appears, and from the second micro batch on every one is alike.
MICRO_BATCHES = 2


@dataclass(frozen=True, slots=True)
class Companion:
    """A frozen model beside the trained one; one that `runs` answers each batch before it, without gradient.

    It does so `after` it, while the trained one's graph is alive, where the trainer asks in that order.
    """

    model: Model
    runs: bool
    after: bool = False
    autocast: DType | None = None


@dataclass(frozen=True, slots=True)
class Training:
    """Everything the loop needs: a placed model, what it is fed, and how the loop is written."""

    model: Model
    inputs: tuple[InputSpec, ...]
    regime: Regime
    autocast: DType | None
    accumulation: int
    loop: Loop
    optimizer: OptimizerStep | None
    companions: tuple[Companion, ...] = ()
    keeps_loss: bool = True
    sharded: ShardedModel | None = None
    rollout: Decoding | None = None
    smoothing: InLoop | InTrainer | None = None


class _Loop:
    """The variables of a training script that outlive one iteration."""

    def __init__(self, tape: Tape, training: Training) -> None:
        self.tape = tape
        self.training = training
        self.parameters = [p for p in training.model.parameters() if p.trainable]
        self.output: Output | None = None
        self.states_before = 0
        self.loss: Tensor | None = (
            None  # a script's variable: it holds the graph until the next forward is done
        )

    def run(self) -> None:
        self._make_optimizer()
        arena = self.tape.arena
        arena.leave()
        before = arena.mark()
        self._step(1)
        if self.training.accumulation >= MICRO_BATCHES:
            # Kept outputs meet the next forward, and with it most memory, already in this step's second micro batch.
            self.output = None
        if self._only_states_are_new(before):
            sampled: tuple[Phase, ...] = ("rollout",) if self.training.rollout is not None else ()
            arena.echo(before, (*sampled, "forward", "backward"), 2)
        else:
            self._step(2)

    def _step(self, step: int) -> None:
        self._micro_batches(step)
        self._update(step)
        self.tape.arena.leave()

    def _only_states_are_new(self, before: Mark) -> bool:
        """Return whether the second step differs from the first by the optimizer's states alone.

        Then its forward and backward are those of the first on top of the states, and need no walk. What a
        script's loss variable holds of the graph counts as nothing new if it is just the loss.
        """
        optimizer = self.training.optimizer
        if optimizer is not None and (optimizer.optimizer.states_between_updates or optimizer.in_backward):
            return False
        states = optimizer.bytes - self.states_before if optimizer is not None else 0
        return 0 <= self.tape.arena.total - before.total - states <= BLOCK

    def _make_optimizer(self) -> None:
        """What the constructor allocates: after loading, before the first batch."""
        self._enter("forward", "optimizer state", 1)
        if self.training.optimizer is not None:
            self.training.optimizer.prepare(self.tape, self.parameters)
            self.states_before = self.training.optimizer.bytes

    def _micro_batches(self, step: int) -> None:
        loop = self.training.loop
        count = min(self.training.accumulation, MICRO_BATCHES)
        if self.training.rollout is not None:
            roll_out(self.tape, self.training.rollout, step)
        for micro in range(count):
            if self.training.sharded is not None:
                self.training.sharded.expect(last=micro == count - 1)
            if loop.zero_grad == "start" and micro == 0:
                self._zero_grad()
            self.loss = loss = self._forward(step)
            if loop.zero_grad == "before_backward" and micro == 0:
                self._zero_grad()
            self._enter("backward", "temporary", step)
            self.tape.backward(loss, self.tape.empty((), loss.dtype))
            del loss
            if self.training.sharded is not None:
                self.training.sharded.after_backward()
            if self.training.optimizer is not None:
                self.training.optimizer.finish_backward(self.tape)
            if not self.training.keeps_loss:
                self.loss = None

    def _forward(self, step: int) -> Tensor:
        training = self.training
        self._enter("forward", "input", step)
        self.batch = batch = make_batch(self.tape, training.inputs)
        self.tape.arena.kind = "activation"
        self._ask_companions(batch, after=False)
        if training.sharded is not None:
            training.sharded.before_forward()
        output = self._output(batch)
        self._watch(output, self._ask_companions(batch, after=True))
        if training.loop.keeps_outputs:
            self.output = output
        if output.loss is None:
            raise CannotEstimate(
                "the model that trains only encodes for others; what its loss is, is not known"
            )
        return output.loss

    def _output(self, batch: Batch) -> Output:
        training, smoothing = self.training, self.training.smoothing
        with self.tape.autocast_to(training.autocast), offloading(self.tape):
            output = training.model(batch, training.regime)
            if smoothing is not None and smoothing.in_autocast and output.loss is None:
                output.loss = smoothing.loss(output, batch)
        if smoothing is not None and output.loss is None:
            output.loss = smoothing.loss(output, batch)
        return output

    def _ask_companions(self, batch: Batch, *, after: bool) -> list[Output]:
        answers = []
        for companion in self.training.companions:
            if companion.runs and companion.after is after:
                with self.tape.no_grad(), self.tape.autocast_to(companion.autocast):
                    answers.append(companion.model(batch, self.training.regime))
        return answers if after else []

    def _watch(self, output: Output, answers: list[Output]) -> None:
        """Log what a trainer's objective logs of the logits, while the references' answers are there."""
        objective = self.training.regime.objective
        if objective is not None and objective.watch is not None and output.logits is not None:
            objective.watch(output.logits)
        answers.clear()

    def _update(self, step: int) -> None:
        optimizer = self.training.optimizer
        self._enter("optimizer_step", "optimizer state", step)
        if optimizer is not None:
            optimizer.run(self.tape, self.parameters)
        if self.training.loop.zero_grad == "end":
            self._zero_grad()
        self.batch = Batch({})

    def _zero_grad(self) -> None:
        if self.training.loop.set_to_none:
            for parameter in self.parameters:
                parameter.forget_grad()
            if self.training.sharded is not None:
                self.training.sharded.forget_gradients()

    def _enter(self, phase: Phase, kind: str, step: int) -> None:
        self.tape.arena.enter(phase, step)
        self.tape.arena.kind = kind
        self.tape.arena.label = ""


def train(tape: Tape, training: Training) -> None:
    """Walk the training loop; the tape's arena then knows every phase."""
    _Loop(tape, training).run()


def place(tape: Tape, model: Model, kind: str = "weight") -> None:
    """Allocate the weights and buffers of a model: what loading leaves on the GPU."""
    tape.arena.kind, tape.arena.label = kind, "weights"
    placed: set[int] = set()
    for _, tensor in model.named_tensors():
        if id(tensor) not in placed:
            placed.add(id(tensor))
            tensor.place(tape)
