"""A model class of the user's as a model of the engine: made as the script makes it, run as its loop runs it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from vramlint.facts.setting import Known, Origin, Unknown
from vramlint.interpret.data import Materials
from vramlint.interpret.interpreter import Interpreter
from vramlint.interpret.loop import loop_of
from vramlint.interpret.modules import UserModule
from vramlint.interpret.stepped import ForwardStep, TrainingStep
from vramlint.interpret.values import Frame, NotUnderstood, Unread
from vramlint.memory.errors import CannotEstimate
from vramlint.memory.families.base import Batch, InputSpec, Model, Output, Regime, Sizes
from vramlint.memory.modules import Module, parameter_tensor
from vramlint.memory.tape import Tensor

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from vramlint.facts.setting import Setting
    from vramlint.frontends.construction import Construction
    from vramlint.interpret.loop import Loop
    from vramlint.memory.modules import Buffer, Parameter
    from vramlint.plan.concrete import Concrete
    from vramlint.plan.document import Plan
    from vramlint.plan.run import Run


@dataclass(frozen=True, slots=True, eq=False)
class Program:
    """How a script makes its model and trains it; every build is a model of its own."""

    construction: Construction

    def build(self, plan: Plan) -> Model:
        """Make the model.

        Raises:
            CannotEstimate: where its `__init__` is not understood.
        """
        interpreter, module = self.made()
        image = plan.image_size
        sides = (image, image) if isinstance(image, int) else image
        materials = Materials(module, plan.micro_batch_size or 1, plan.sequence_length, sides, None)
        interpreter.materials = materials
        return CustomModel(interpreter, module, _step_of(self.construction, module))

    def made(self) -> tuple[Interpreter, Module]:
        """Run the constructor."""
        construction = self.construction
        interpreter = Interpreter(construction.evaluator)
        made = interpreter.names.plain(construction.made)
        if not isinstance(made, Module):
            why = made.reason if isinstance(made, Unread) else "it is no nn.Module"
            raise CannotEstimate(f"the class `{construction.name}` is not understood: {why}")
        assert construction.made.call is not None
        interpreter.names.pin(construction.made.call, made)
        interpreter.names.changes.to_made(construction.made, made)
        return interpreter, made


def _step_of(construction: Construction, module: Module) -> Loop | TrainingStep | ForwardStep:
    if isinstance(module, UserModule) and construction.stepped == "training_step":
        return TrainingStep(module)
    if isinstance(module, UserModule) and construction.stepped == "forward":
        return ForwardStep(module)
    return loop_of(construction)


class CustomModel(Model):
    """The user's model with the loop that trains it: a forward pass is the loop's body up to its backward."""

    def __init__(
        self, interpreter: Interpreter, module: Module, loop: Loop | TrainingStep | ForwardStep
    ) -> None:
        self.interpreter = interpreter
        self.module = module
        self.loop = loop
        self.frame: Frame | None = None

    def inputs(self, sizes: Sizes) -> tuple[InputSpec, ...]:
        """Return nothing: the loop's own statements take the batch from the data."""
        del sizes
        return ()

    def named_tensors(self, prefix: str = "") -> Iterator[tuple[str, Parameter | Buffer]]:
        """Yield the module's tensors under its own names."""
        yield from self.module.named_tensors(prefix)

    def forward(self, batch: Batch, regime: Regime) -> Output:
        """Run the loop's body up to its backward."""
        del batch
        if regime.generates:
            raise CannotEstimate("what a model of one's own generates is not walked yet")
        try:
            return Output(self._loss())
        except NotUnderstood as reason:
            raise CannotEstimate(self._said(reason)) from None

    def _said(self, reason: NotUnderstood) -> str:
        count = sum(parameter.numel * parameter.copies for parameter in self.parameters())
        where = f" ({reason.place})" if reason.place else ""
        return f"the model has {count:,} parameters, but its forward pass is not understood: {reason.reason}{where}"

    def _loss(self) -> Tensor:
        interpreter = self.interpreter
        tape = parameter_tensor(next(self.parameters())).tape
        interpreter.restart(tape)
        assert interpreter.materials is not None
        interpreter.materials.restart()
        self.frame = self.frame or self.loop.frame()
        interpreter.autocast = tape.autocast
        outside = None if self.loop.says_autocast else tape.autocast
        with tape.autocast_to(outside):
            loss = self.loop.run(interpreter, self.frame)
        if isinstance(loss, Unread):
            raise NotUnderstood(loss.reason)
        if not isinstance(loss, Tensor):
            raise NotUnderstood("the loss is not followed to a tensor")
        missed = [one.reason for one in interpreter.missed if _was_used(one)]
        if loss.node is None:
            raise NotUnderstood(missed[0] if missed else "the loss does not depend on any weight that trains")
        if missed:
            self.approximation = (
                f"a part of the step is not followed, and what it holds is not counted: {missed[0]}"
            )
        return loss


def _was_used(value: Unread) -> bool:
    """Return whether an operator took a value, or a part of it, for a tensor."""
    return value.tensor is not None or any(_was_used(part) for part in value.parts.values())


def program_of(run: Run) -> Program | None:
    """Return the program of a run whose model is a class of the user's."""
    return None if run.construction is None else Program(run.construction)


def carried(found: Concrete, program: Program | None) -> Concrete:
    """Return the plans with the program that their model is made by."""
    if program is None:
        return found
    return replace(found, plans=tuple(_with_program(plan, program) for plan in found.plans))


def _with_program(plan: Plan, program: Program) -> Plan:
    """Hang a program on a plan's model; further models of the same kind are the loop's own to make."""
    if plan.model.class_name is None:
        return plan
    extra = tuple(one for one in plan.extra_models if one.model is not None and one.model.class_name is None)
    return plan.model_copy(update={"model": plan.model.carrying(program), "extra_models": extra})


def completed(run: Run, program: Program | None) -> Run:
    """Return a run without the lengths or image sizes that its own model does not read.

    Raises:
        CannotEstimate: where the model's `__init__` is not understood.
    """
    if program is None:
        return run
    _, module = program.made()
    kind = Materials(module, 1, None, None, None).kind
    return replace(run, settings={**run.settings, **_sizes(run.settings, kind)})


def _sizes(settings: Mapping[str, Setting[Any]], kind: str) -> dict[str, Setting[Any]]:
    changes: dict[str, Setting[Any]] = {}
    if kind != "tokens":
        tokens = settings.get("sequence_length")
        if isinstance(tokens, Unknown):
            changes["sequence_length"] = Known(None, Origin("framework-default", f"the model reads {kind}"))
    image = settings.get("image_size")
    if kind == "images" and isinstance(image, Known) and image.value is None:
        changes["image_size"] = Unknown(
            "no image size was found in the script; name it with --set image_size=…"
        )
    return changes
