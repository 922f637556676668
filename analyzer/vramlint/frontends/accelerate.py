"""accelerate: `Accelerator(mixed_precision=…, gradient_accumulation_steps=…)` around a plain loop."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from vramlint.facts.script import is_from, lift
from vramlint.facts.setting import Known, Origin, Setting, Unknown

if TYPE_CHECKING:
    from collections.abc import Mapping

    from vramlint.facts.names import Call
    from vramlint.frontends.base import Context, Training

_PRECISIONS = {"bf16": "bf16", "fp16": "fp16", "no": "no", "fp8": "bf16"}
_PLUGINS = ("deepspeed_plugin", "fsdp_plugin", "megatron_lm_plugin", "parallelism_config")


def settings(context: Context, training: Training) -> Mapping[str, Setting[Any]]:
    """Read the Accelerator that a plain loop uses; what it leaves open, `accelerate launch` decides."""
    if training.framework != "torch":
        return {}
    for call in context.script.calls("Accelerator"):
        if is_from(context.script.callee(call), {"accelerate"}, {"Accelerator"}):
            return _read(context, call)
    return {}


def _read(context: Context, call: Call) -> dict[str, Setting[Any]]:
    origin = context.script.origin(call.node, call.place)
    found: dict[str, Setting[Any]] = {"mixed_precision": _precision(context, call, origin)}
    steps = context.script.argument(call, "gradient_accumulation_steps")
    if steps is not None:
        found["gradient_accumulation_steps"] = steps
    for plugin in _PLUGINS:
        given = context.script.argument(call, plugin)
        if given is not None and not (isinstance(given, Known) and given.value is None):
            found["sharding"] = Unknown(
                f"Accelerator({plugin}=…) is not read yet; describe it with --set sharding=…", origin
            )
    return found


def _precision(context: Context, call: Call, origin: Origin) -> Setting[Any]:
    """Return the precision; left out or None, `accelerate launch --mixed_precision` or its YAML says."""
    given = context.script.argument(call, "mixed_precision")
    open_question = Unknown(
        "Accelerator() leaves mixed precision to `accelerate launch`; name it with --set mixed_precision=…",
        origin,
    )
    if given is None:
        return open_question
    return (
        lift(
            given,
            lambda known: (
                Known(_PRECISIONS[known.value], known.origin) if known.value in _PRECISIONS else open_question
            ),
        )
        or open_question
    )
