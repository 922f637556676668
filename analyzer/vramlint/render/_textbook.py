"""The textbook's figure beside the engine's, and why they differ."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from vramlint.knowledge import textbook
from vramlint.render._page import EMPTY, Line, Piece, line, wrapped
from vramlint.units import gigabytes

if TYPE_CHECKING:
    from collections.abc import Iterator

    from vramlint.knowledge.textbook import TextbookFigure
    from vramlint.memory.estimate import Estimate
    from vramlint.memory.ledger import Group
    from vramlint.plan.document import Plan
    from vramlint.render.style import Style
    from vramlint.rules.subject import Subject

_ITEM_BYTES = {"float32": 4, "bfloat16": 2, "float16": 2, "float64": 8}


class Pair(NamedTuple):
    """A rule of thumb, and what the engine says of the same thing in this run, in bytes."""

    figure: TextbookFigure
    engine: int


def comparison(subject: Subject, style: Style) -> Iterator[Line]:
    """Yield for each rule of thumb its figure, that of this run, and what the difference is."""
    if subject.estimate is None or not subject.plans:
        return
    yield EMPTY
    yield line(Piece("  Textbook against what this run does", "strong"))
    for figure, engine in pairs(subject.estimate, subject.plans[0]):
        yield EMPTY
        yield line(
            f"  {figure.name:<44}textbook ",
            Piece(f"{_size(figure):>9}", "strong"),
            "   this run ",
            Piece(f"{gigabytes(engine):>9}", "strong"),
        )
        yield from wrapped(f"{figure.formula}; {figure.citation}", style.width, "    ", "faint")
        if not figure.low <= engine <= figure.high:
            yield from wrapped(f"They differ because {figure.differs_because}.", style.width, "    ")


def pairs(estimate: Estimate, plan: Plan) -> Iterator[Pair]:
    """Yield the rules of thumb that speak of such a run."""
    item = _ITEM_BYTES.get(plan.param_dtype or "float32", 4)
    trained = estimate.trainable_parameters
    yield Pair(textbook.weights(estimate.parameters, item), _bytes(estimate, "weights"))
    yield Pair(textbook.gradients(trained, item), _bytes(estimate, "gradients"))
    states = _bytes(estimate, "optimizer")
    for figure in _states(plan, trained):
        yield Pair(figure, states)
    if _is_adam(plan):
        training = textbook.full_precision_training
        if plan.mixed_precision != "no" or item < _ITEM_BYTES["float32"]:
            training = textbook.mixed_precision_training
        yield Pair(training(trained), _bytes(estimate, "weights", "gradients", "optimizer"))
    activations = _activations(plan)
    if activations is not None:
        yield Pair(activations, _bytes(estimate, "activations"))


def _states(plan: Plan, parameters: int) -> Iterator[TextbookFigure]:
    if plan.optimizer is None:
        return
    name = plan.optimizer.name.rpartition(".")[2].lower()
    if name == "sgd" and plan.optimizer.momentum:
        yield textbook.optimizer_states("momentum", parameters)
        yield textbook.momentum_states_with_master_copy(parameters)
    elif name in {"adam", "adamw"} or name.startswith("adamw_torch"):
        yield textbook.optimizer_states("adamw", parameters)
        yield textbook.adam_states_with_master_copy(parameters)
    elif "8bit" in name and "adam" in name:
        yield textbook.eight_bit_states(parameters)
        yield textbook.eight_bit_states_with_master_copy(parameters)
    elif name == "adafactor":
        yield textbook.adafactor_states_with_master_copy(parameters)
    elif name in {"sgd", "adagrad", "rmsprop", "lion"}:
        yield textbook.optimizer_states(name, parameters)


def _is_adam(plan: Plan) -> bool:
    return plan.optimizer is not None and "adam" in plan.optimizer.name.lower()


def _activations(plan: Plan) -> TextbookFigure | None:
    """Return the textbook's activations where batch, length and the model's shape are known."""
    config = _config(plan)
    hidden = _first(config, "hidden_size", "n_embd")
    layers = _first(config, "num_hidden_layers", "n_layer")
    heads = _first(config, "num_attention_heads", "n_head")
    batch, length = plan.micro_batch_size, plan.sequence_length
    if not (hidden and layers and heads and batch and length):
        return None
    return textbook.activations(s=length, b=batch, h=hidden, L=layers, a=heads)


def _config(plan: Plan) -> dict[str, object]:
    if plan.model.config is not None:
        return dict(plan.model.config)
    if plan.model.id is None:
        return {}
    from vramlint.knowledge import models  # noqa: PLC0415  only where a model is named

    record = models.find(plan.model.id)
    return dict(record.config) if record is not None else {}


def _first(config: dict[str, object], *names: str) -> int | None:
    return next((value for name in names if isinstance(value := config.get(name), int)), None)


def _bytes(estimate: Estimate, *groups: Group) -> int:
    return sum(term.bytes for term in estimate.ledger.terms if term.group in groups)


def _size(figure: TextbookFigure) -> str:
    if figure.low == figure.high:
        return gigabytes(figure.low)
    return f"{gigabytes(figure.low)} to {gigabytes(figure.high)}"
