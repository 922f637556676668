"""transformers' Trainer: `Trainer(model, args).train()` with its TrainingArguments."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from vramlint.facts.script import is_from, lift
from vramlint.facts.setting import Known, Setting
from vramlint.facts.values import Function, Instance
from vramlint.frontends import trainer_arguments
from vramlint.frontends.base import Context, Training
from vramlint.frontends.trace import traced

if TYPE_CHECKING:
    from collections.abc import Iterator

TRAINERS = {"Trainer", "Seq2SeqTrainer"}
DEFAULTS = "transformers.TrainingArguments"


def trainings(context: Context) -> Iterator[Training]:
    """Find the trainers of transformers whose `.train()` is called."""
    yield from trained(context, {"transformers"}, TRAINERS, "transformers", lambda _names: DEFAULTS)


def trained(
    context: Context, packages: set[str], classes: set[str], framework: str, defaults: Any
) -> Iterator[Training]:
    """Find trainers of some classes whose `.train()` is called; one training for each trainer."""
    script = context.script
    seen: set[object] = set()
    for call in script.calls("train"):
        for one in traced(script, script.receiver(call)):
            made = one.base.value
            if not (isinstance(made, Instance) and made.call is not None) or made.call in seen:
                continue
            if not is_from(made.names, packages, classes):
                continue
            seen.add(made.call)
            arguments = _arguments(context, made)
            model = _model(context, made)
            found = trainer_arguments.read(context, made, arguments, defaults(made.names))
            yield Training(framework, call, model, arguments=arguments, trainer=made, settings=found)


def _arguments(context: Context, trainer: Instance) -> Instance | None:
    setting = context.script.argument(trainer, "args", 1)
    if isinstance(setting, Known) and isinstance(setting.value, Instance):
        return setting.value
    return None


def _model(context: Context, trainer: Instance) -> Setting[Any] | None:
    """Return the model a trainer gets: an object, or what its `model_init` returns."""
    given = context.script.argument(trainer, "model", 0)
    if given is not None and not (isinstance(given, Known) and given.value is None):
        return given
    init = context.script.argument(trainer, "model_init")
    return lift(init, lambda known: _returned(context, known)) if init is not None else given


def _returned(context: Context, known: Known[Any]) -> Setting[Any] | None:
    if not isinstance(known.value, Function):
        return known
    returns = known.value.scope.returns
    body = getattr(known.value.node, "body", None)
    if not isinstance(body, list) and body is not None and known.value.scope.place is not None:
        return context.script.value(body, known.value.scope.place)
    value, place = returns[0] if returns else (None, None)
    return context.script.value(value, place) if value is not None and place is not None else None
