"""A step that a trainer takes: what it calls of the user's model with a batch, and the loss that comes back."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from vramlint.interpret import attributes, calls
from vramlint.interpret.values import Data, Frame, Function, NotUnderstood, Reached, Record, Unread
from vramlint.memory.dtypes import FLOAT32
from vramlint.memory.operators.elementwise import cast
from vramlint.memory.tape import Tensor

if TYPE_CHECKING:
    from vramlint.interpret.interpreter import Interpreter
    from vramlint.interpret.modules import UserModule

# What collators make; of a forward's optional parameters only these are given (transformers/data/data_collator.py).
_COLLATED = frozenset({"input_ids", "labels", "pixel_values", "inputs", "x"})


@dataclass(frozen=True, slots=True, eq=False)
class TrainingStep:
    """Lightning: `training_step(batch, batch_idx)`, all of it under autocast (lightning/pytorch/strategies)."""

    module: UserModule
    says_autocast: ClassVar[bool] = False

    def frame(self) -> Frame:
        """Return no variables: the step has its own."""
        return Frame(None)

    def run(self, interpreter: Interpreter, frame: Frame) -> Any:
        """Run the step on one batch."""
        del frame
        step = attributes.attribute(interpreter, self.module, "training_step")
        function = step.function.node
        given: list[Any] = [Data("the batch comes from the data"), 0][: len(function.args.args) - 1]
        interpreter.ensure_placed(self.module)
        try:
            return _loss(interpreter.call(step, given, {}))
        except Reached as reached:  # `manual_backward`
            return reached.loss


@dataclass(frozen=True, slots=True, eq=False)
class ForwardStep:
    """Hugging Face's Trainer: `model(**inputs)`, under autocast, its outputs made fp32 (accelerate/accelerator.py)."""

    module: UserModule
    says_autocast: ClassVar[bool] = False

    def frame(self) -> Frame:
        """Return no variables: the trainer's own hold nothing on."""
        return Frame(None)

    def run(self, interpreter: Interpreter, frame: Frame) -> Any:
        """Run the model on one batch."""
        del frame
        found = calls.find(self.module.cls, "forward")
        if not isinstance(found, Function):
            raise NotUnderstood(f"the class `{self.module.cls.name}` has no `forward` that is read")
        outputs = calls.forward(interpreter, self.module, [], _batch(found))
        if interpreter.autocast is not None:
            outputs = _in_fp32(outputs)
        return _loss(outputs[0] if isinstance(outputs, tuple) else outputs)


def _batch(forward: Function) -> dict[str, Any]:
    """Return what a batch gives the parameters of a forward."""
    declared = forward.node.args
    positional = [*declared.posonlyargs, *declared.args][1:]
    required = len(positional) - len(declared.defaults)
    names = [one.arg for one in positional[: max(required, 0)]]
    names += [
        one.arg for one in (*positional[max(required, 0) :], *declared.kwonlyargs) if one.arg in _COLLATED
    ]
    return {name: Data(f"`{name}` comes from the data") for name in names}


def _in_fp32(value: Any) -> Any:
    if isinstance(value, Tensor):
        return cast(value, FLOAT32) if value.dtype.floating and value.dtype is not FLOAT32 else value
    if isinstance(value, tuple | list):
        return type(value)([_in_fp32(one) for one in value])
    if isinstance(value, dict):
        return {key: _in_fp32(one) for key, one in value.items()}
    if isinstance(value, Record):
        return Record({key: _in_fp32(one) for key, one in value.attributes.items()})
    return value


def _loss(returned: Any) -> Any:
    """Return the loss out of what a step returns."""
    if isinstance(returned, Record):
        returned = returned.attributes
    if isinstance(returned, dict):
        returned = returned.get("loss", Unread("what is returned has no `loss`"))
    return Unread("the step returns no loss") if returned is None else returned
