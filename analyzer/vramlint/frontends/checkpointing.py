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
    "set_gradient_checkpointing",
    "set_grad_checkpointing",
    "apply_activation_checkpointing",
)
_PREPARES = ("prepare_model_for_kbit_training", "prepare_model_for_int8_training")
# Parts of a diffusion model that are checkpointed for themselves.
_BESIDE = ("text_encoder", "vae", "image_encoder", "teacher", "ref_model")


def settings(context: Context, _training: Training) -> Mapping[str, Setting[Any]]:
    """Find the call that switches checkpointing on; a call in an undecided branch makes it unknown."""
    calls = _on(context)
    if calls:
        return {"gradient_checkpointing": _switched(context, calls[0])}
    for call in context.script.calls("checkpoint"):
        if is_from(context.script.callee(call), {"torch"}, {"checkpoint"}):
            origin = context.script.origin(call.node, call.place)
            why = (
                "parts of the model call torch.utils.checkpoint; say how with --set gradient_checkpointing=…"
            )
            return {"gradient_checkpointing": Unknown(why, origin)}
    return {}


def any_of(context: Context) -> bool:
    """Return whether some call of the script switches checkpointing on."""
    return bool(_on(context))


def _on(context: Context) -> list[Call]:
    """Return the calls that switch checkpointing of the trained model on, the surest first."""
    switches = [
        call
        for call in context.script.calls(*_SWITCHES)
        if not _in_handler(call) and not _is_off(context, call) and not _is_beside(call)
    ]
    prepares = [
        call
        for call in context.script.calls(*_PREPARES)
        if not _says_no(context.script.argument(call, "use_gradient_checkpointing", 1))
    ]
    return [*switches, *prepares]


def _is_off(context: Context, call: Call) -> bool:
    """Return whether a switch is called with False: `set_grad_checkpointing(enable=False)`."""
    return any(_says_no(context.script.argument(call, name, 0)) for name in ("enable", "value"))


def _says_no(given: Setting[Any] | None) -> bool:
    return isinstance(given, Known) and given.value is False


def _is_beside(call: Call) -> bool:
    from vramlint.facts.shown import source  # noqa: PLC0415  few scripts switch it on by a call

    return any(part in source(call.node.func) for part in _BESIDE)


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
