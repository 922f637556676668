"""Switches that do nothing here, for the rule that speaks of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from vramlint.facts.setting import Known, Origin
from vramlint.facts.values import Items, Record
from vramlint.frontends import checkpointing
from vramlint.frontends.base import Context, Remark, Training
from vramlint.frontends.trainer_arguments import Arguments

if TYPE_CHECKING:
    from collections.abc import Iterator

    from vramlint.facts.names import Call
    from vramlint.facts.setting import Setting

_RULE = "switch-without-effect"
_WRITTEN = {"source", "launch", "config"}
_FOUR_BITS = (
    "bnb_4bit_quant_type",
    "bnb_4bit_compute_dtype",
    "bnb_4bit_use_double_quant",
    "bnb_4bit_quant_storage",
)
_ADAPTERS = ("lora_r", "lora_alpha", "lora_dropout", "lora_target_modules")


def remarks(context: Context, training: Training) -> Iterator[Remark]:
    """Yield the switches of a training that have no effect."""
    for call in context.script.calls("BitsAndBytesConfig"):
        yield from _bits(context, call)
    if training.trainer is None:
        return
    arguments = Arguments(context, training.trainer, training.arguments, "")
    yield from _checkpointing(context, training, arguments)
    yield from _optimizer(context, arguments)


def _written(setting: Setting[Any] | None) -> Known[Any] | None:
    """Return a value that someone wrote, in the file or on the launch line."""
    if isinstance(setting, Known) and setting.origin.kind in _WRITTEN and setting.origin.span is not None:
        return setting
    return None


def _remark(switch: Known[Any], message: str, related: Origin | None = None) -> Remark:
    assert switch.origin.span is not None
    return Remark(_RULE, message, switch.origin.span, related)


def _bits(context: Context, call: Call) -> Iterator[Remark]:
    """Yield options of 4-bit weights in a config that does not load in 4 bits."""
    four = context.script.argument(call, "load_in_4bit")
    is_off = four is None or (isinstance(four, Known) and four.value is False and _written(four) is not None)
    if not is_off or any(keyword.arg is None for keyword in call.node.keywords) or call.node.args:
        return
    given = next((keyword for keyword in call.node.keywords if keyword.arg in _FOUR_BITS), None)
    if given is not None:
        span = context.script.span(given.value, call.place)
        yield Remark(_RULE, f"{given.arg} does nothing: load_in_4bit is not on", span)


def _checkpointing(context: Context, training: Training, arguments: Arguments) -> Iterator[Remark]:
    """Yield options of a gradient checkpointing that nothing switches on."""
    options = _written(arguments.given("gradient_checkpointing_kwargs"))
    if options is None or not isinstance(options.value, Record) or not options.value.items:
        return
    if "unsloth" in context.script.names.imports:
        return  # its loader switches checkpointing on
    on = training.settings.get("gradient_checkpointing")
    is_off = on is None or (isinstance(on, Known) and on.value is None)
    if is_off and not checkpointing.any_of(context):
        yield _remark(options, "gradient_checkpointing_kwargs does nothing: gradient_checkpointing is not on")


def _optimizer(context: Context, arguments: Arguments) -> Iterator[Remark]:
    """Yield an `optim` beside an optimizer that is handed over."""
    named = _written(arguments.given("optim"))
    own = context.script.argument(arguments.trainer, "optimizers")
    if named is None or not (isinstance(own, Known) and isinstance(own.value, Items) and own.value.items):
        return
    first = context.script.evaluator.force(own.value.items[0])
    if isinstance(first, Known) and first.value is not None:
        message = f"optim={named.value!r} does nothing: the trainer is handed an optimizer"
        yield _remark(named, message, Origin("source", "the optimizer that runs", own.origin.span))
