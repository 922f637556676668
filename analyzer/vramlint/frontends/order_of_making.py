"""What is done to a model too early, or to another one: optimizers before adapters, checkpointing that is lost."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vramlint.facts.script import is_from
from vramlint.facts.setting import Known, Origin
from vramlint.facts.values import Instance
from vramlint.frontends import optimizers, peft
from vramlint.frontends.base import Context, Remark, Training
from vramlint.frontends.trace import traced

if TYPE_CHECKING:
    from collections.abc import Iterator

    from vramlint.facts.names import Call

_SWITCHES = ("gradient_checkpointing_enable", "enable_gradient_checkpointing")
_SEE_TO_INPUTS = (
    "enable_input_require_grads",
    "prepare_model_for_kbit_training",
    "prepare_model_for_int8_training",
    "make_inputs_require_grad",
    "register_forward_hook",
)


def remarks(context: Context, training: Training) -> Iterator[Remark]:
    """Yield what the order of the lines makes of no effect."""
    if training.kind != "train":
        return
    yield from _optimizers(context)
    yield from _switched_off(context, training)
    yield from _on_another(context, training)
    yield from _frozen_inputs(context, training)


def _adding(context: Context) -> list[Call]:
    calls = context.script.calls("get_peft_model")
    return [
        call
        for call in calls
        if is_from(context.script.callee(call), {"peft", "unsloth"}, {"get_peft_model"})
        and all(context.script.evaluator.decided(arm) for arm in call.place.path)
    ]


def _keys(context: Context, call: Call, name: str, position: int) -> set[object]:
    given = context.script.argument(call, name, position)
    return {one.key for one in traced(context.script, given) if isinstance(one.base.value, Instance)}


def _optimizers(context: Context) -> Iterator[Remark]:
    """Yield optimizers that are made above the line that adds adapters to the same model, in one block."""
    adding = _adding(context)
    for made in optimizers.made(context) if adding else ():
        for call in adding:
            if made.place.scope is not call.place.scope or made.place.order >= call.place.order:
                continue
            holds = _parameters(context, made)
            if holds & _keys(context, call, "model", 0) and not _made_again(context, call):
                place = context.script.origin(call.node, call.place, "the adapters are added here")
                yield Remark(
                    "optimizer-before-adapters",
                    "the optimizer is made before the adapters are added and does not have their parameters",
                    context.script.span(made.node, made.place),
                    place,
                )


def _parameters(context: Context, made: Call) -> set[object]:
    """Return the model whose `.parameters()` an optimizer gets as they are."""
    given = context.script.argument(made, "params", 0)
    value = given.value if isinstance(given, Known) else None
    if not (isinstance(value, Instance) and value.method == "parameters"):
        return set()
    return {one.key for one in traced(context.script, value.receiver) if isinstance(one.base.value, Instance)}


def _made_again(context: Context, call: Call) -> bool:
    return any(
        other.place.scope is call.place.scope and other.place.order > call.place.order
        for other in optimizers.made(context)
    )


def _switched_off(context: Context, training: Training) -> Iterator[Remark]:
    """Yield a `gradient_checkpointing_disable()` after the last switch and before the training."""
    script = context.script
    scope = training.call.place.scope
    on = [call.place.order for call in script.calls(*_SWITCHES) if call.place.scope is scope]
    for call in script.calls("gradient_checkpointing_disable"):
        place = call.place
        if (
            place.scope is scope
            and not place.path
            and on
            and max(on) < place.order < training.call.place.order
        ):
            message = "gradient checkpointing is switched off again before the training"
            yield Remark("gradient-checkpointing-lost", message, script.span(call.node, place))


def _on_another(context: Context, training: Training) -> Iterator[Remark]:
    """Yield a switch whose model is replaced by a newly loaded one under the same name before the training."""
    script = context.script
    trained = {one.key for one in traced(script, training.model) if isinstance(one.base.value, Instance)}
    calls = [call for call in script.calls(*_SWITCHES) if call.place.scope is training.call.place.scope]
    owners = [(call, _owner(context, call)) for call in calls]
    if not trained or any(keys & trained or not keys for _, (_, keys) in owners):
        return
    for call, (name, _) in owners:
        now = script.evaluator.name(name, training.call.place, None) if name else None
        again = {one.key for one in traced(script, now) if isinstance(one.base.value, Instance)}
        if (
            again & trained
            and call.place.order < training.call.place.order
            and not _is_elsewhere(call, training)
        ):
            message = (
                f"gradient checkpointing is switched on for a `{name}` that is made anew before the training"
            )
            yield Remark("gradient-checkpointing-lost", message, script.span(call.node, call.place))


def _is_elsewhere(call: Call, training: Training) -> bool:
    """Return whether a switch stands before an earlier training of a notebook, which it was for."""
    return call.place.cell is not None and call.place.cell != training.call.place.cell


def _owner(context: Context, call: Call) -> tuple[str, set[object]]:
    import ast  # noqa: PLC0415  few scripts switch it on by a call

    value = call.node.func.value if isinstance(call.node.func, ast.Attribute) else None
    found = traced(context.script, context.script.receiver(call))
    keys = {one.key for one in found if isinstance(one.base.value, Instance)}
    return (value.id if isinstance(value, ast.Name) else ""), keys


def _frozen_inputs(context: Context, training: Training) -> Iterator[Remark]:
    """Yield reentrant checkpointing over PEFT's frozen base whose inputs need no gradient, under the Trainer."""
    if training.framework != "transformers" or context.script.calls(*_SEE_TO_INPUTS):
        return
    on = training.settings.get("gradient_checkpointing")
    is_reentrant = (
        isinstance(on, Known) and isinstance(on.value, dict) and on.value.get("use_reentrant") is True
    )
    if not isinstance(on, Known) or not is_reentrant or on.origin.span is None:
        return
    adapters = peft.settings(context, training).get("lora")
    adding = _adding(context)
    is_lora = isinstance(adapters, Known) and (adapters.value or {}).get("kind") in {"lora", "dora", "rslora"}
    if not is_lora or not adding or context.script.calls(*_SWITCHES):
        return
    place = context.script.origin(adding[0].node, adding[0].place, "adapters on a frozen base")
    why = (
        "reentrant gradient checkpointing over a frozen base: no input of a layer needs a gradient, and backward"
        " fails; use_reentrant=False or model.enable_input_require_grads()"
    )
    yield Remark(
        "gradient-checkpointing-lost", why, on.origin.span, Origin("source", place.detail, place.span)
    )
