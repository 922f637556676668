"""Gradient checkpointing that a method of the model or a wrapper switches on."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from vramlint.facts.script import is_from
from vramlint.facts.setting import Known, Setting, Unknown
from vramlint.facts.values import Record

if TYPE_CHECKING:
    from collections.abc import Mapping

    from vramlint.facts.names import Call
    from vramlint.frontends.base import Context, Training

_SWITCHES = (
    "gradient_checkpointing_enable",
    "enable_gradient_checkpointing",
    "apply_activation_checkpointing",
)


def settings(context: Context, _training: Training) -> Mapping[str, Setting[Any]]:
    """Find the call that switches checkpointing on; a call in an undecided branch makes it unknown."""
    for call in context.script.calls(*_SWITCHES):
        if _in_handler(call):
            continue
        return {"gradient_checkpointing": _switched(context, call)}
    for call in context.script.calls("prepare_model_for_kbit_training", "prepare_model_for_int8_training"):
        off = context.script.argument(call, "use_gradient_checkpointing", 1)
        if not (isinstance(off, Known) and off.value is False):
            return {"gradient_checkpointing": _switched(context, call)}
    for call in context.script.calls("checkpoint"):
        if is_from(context.script.callee(call), {"torch"}, {"checkpoint"}):
            origin = context.script.origin(call.node, call.place)
            why = (
                "parts of the model call torch.utils.checkpoint; say how with --set gradient_checkpointing=…"
            )
            return {"gradient_checkpointing": Unknown(why, origin)}
    return {}


def _in_handler(call: Call) -> bool:
    """Return whether a call stands in an exception handler, such as a retry after running out of memory."""
    return any(arm.index > 0 and type(arm.branch).__name__ == "Try" for arm in call.place.path)


def _switched(context: Context, call: Call) -> Setting[Any]:
    origin = context.script.origin(call.node, call.place)
    undecided = [
        arm
        for arm in call.place.path
        if arm.place is not None and context.script.evaluator.decided(arm) is None
    ]
    if undecided:
        return Unknown("checkpointing is switched on in a branch that depends on the run", origin)
    kind = context.script.argument(call, "gradient_checkpointing_kwargs")
    reentrant = context.default("transformers.gradient_checkpointing_enable", "use_reentrant")
    value = isinstance(reentrant, Known) and reentrant.value is True
    if isinstance(kind, Known) and isinstance(kind.value, Record) and "use_reentrant" in kind.value.items:
        inner = context.script.evaluator.force(kind.value.items["use_reentrant"])
        value = isinstance(inner, Known) and inner.value is True
    return Known({"use_reentrant": value}, origin)
