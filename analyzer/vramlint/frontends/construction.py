"""How a script makes the model that it trains, where its class is the user's own: what the interpreter starts from."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from vramlint.facts.values import Class, Instance
from vramlint.frontends.trace import traced

if TYPE_CHECKING:
    from vramlint.facts.evaluate import Evaluator
    from vramlint.facts.names import Call
    from vramlint.frontends.base import Context, Training


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Construction:
    """The call that makes the model, the backward that trains it, and the evaluator of the script they stand in.

    `stepped` says what runs a step: the script's own "loop", Lightning's "training_step", or the "forward" that
    Hugging Face's Trainer calls.
    """

    name: str
    evaluator: Evaluator
    made: Instance
    backward: Call
    stepped: str = "loop"


def construction_of(context: Context, training: Training) -> Construction | None:
    """Return how the trained model is made, None where it is no class of the user's, or one of several."""
    beginnings = traced(context.script, training.model)
    if len(beginnings) != 1 or training.kind != "train":
        return None
    made = beginnings[0].base.value
    name = _name(made) if isinstance(made, Instance) and made.call is not None else None
    if name is None or not isinstance(made, Instance):
        return None
    return Construction(name, context.script.evaluator, made, training.call, _stepped(training))


def _stepped(training: Training) -> str:
    if training.framework == "lightning":
        return "training_step"
    is_theirs = training.trainer is not None and training.trainer.local is None
    return "forward" if training.framework == "transformers" and is_theirs else "loop"


def _name(made: Instance) -> str | None:
    """Return the name of a class of the user's, or of torch's own layers; None for anything else."""
    if isinstance(made.local, Class):
        return made.local.node.name
    if made.names and all(name.startswith("torch.nn.") for name in made.names):
        return made.names[0]
    return None
