"""accelerate: `Accelerator(mixed_precision=…)` around a plain loop, and what `accelerate launch` and its file say.

Sources: accelerate 1.15.0, commands/launch.py and accelerator.py; transformers training_args.py, which hands the
launcher's precision on where neither bf16 nor fp16 is set.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from vramlint.facts.script import is_from, lift
from vramlint.facts.setting import Known, OneOf, Origin, Setting, Unknown
from vramlint.facts.values import Instance, Record
from vramlint.frontends import deepspeed, fsdp
from vramlint.frontends.world import sharded

if TYPE_CHECKING:
    from collections.abc import Mapping

    from vramlint.facts.names import Call
    from vramlint.frontends.base import Context, Training

_PRECISIONS = {"bf16": "bf16", "fp16": "fp16", "no": "no", "fp8": "bf16"}
_PLUGINS = ("deepspeed_plugin", "fsdp_plugin", "megatron_lm_plugin", "parallelism_config")
_TRAINERS = {"transformers", "trl"}
_OFFLOADS = {"cpu", "nvme"}


def settings(context: Context, training: Training) -> Mapping[str, Setting[Any]]:
    """Read the Accelerator that a plain loop uses; what it leaves open, `accelerate launch` decides."""
    if training.framework in _TRAINERS:
        return _under_trainer(context, training)
    if training.framework != "torch":
        return {}
    for call in context.script.calls("Accelerator"):
        if is_from(context.script.callee(call), {"accelerate"}, {"Accelerator"}):
            return layout(context) | _read(context, call)
    return {}


def _under_trainer(context: Context, training: Training) -> dict[str, Setting[Any]]:
    """Return what the launcher says and the trainer's own arguments leave open."""
    found = layout(context)
    said = training.settings.get("mixed_precision")
    own = said.origin.kind if isinstance(said, Known) else None
    precision = _launched_precision(context)
    if (
        precision is not None
        and own == "framework-default"
        and isinstance(said, Known)
        and said.value == "no"
    ):
        found["mixed_precision"] = precision
    return found


def _flags(context: Context) -> dict[str, Setting[Any]]:
    """Return what the launcher's flags and file say, by the plain names of its fields."""
    if context.launch.launcher != "accelerate":
        return {}
    found: dict[str, Setting[Any]] = {}
    for name, text in context.launch.launcher_flags.items():
        found.setdefault(name.rpartition(".")[2], context.script.evaluator.launched(name, text))
    return found


def layout(context: Context) -> dict[str, Setting[Any]]:
    """Return how the launcher divides the training over GPUs."""
    flags = _flags(context)
    kind = flags.get("distributed_type")
    name = str(kind.value).upper() if isinstance(kind, Known) else ""
    switches = {"use_deepspeed": "DEEPSPEED", "use_fsdp": "FSDP"}
    for switch, meant in switches.items():
        if switch in flags:
            name, kind = meant, flags[switch]
    if not isinstance(kind, Known):
        return {}
    if name == "DEEPSPEED":
        return _zero(context, flags, kind)
    if name == "FSDP":
        return {"sharding": fsdp.launched(context, flags, kind)}
    return {}


def _zero(context: Context, flags: Mapping[str, Setting[Any]], kind: Known[Any]) -> dict[str, Setting[Any]]:
    file = flags.get("deepspeed_config_file")
    if isinstance(file, Known) and isinstance(file.value, str) and file.value != "none":
        return deepspeed.described(context, file)
    # Stage 2 is what accelerate takes where none is named (utils/dataclasses.py, DeepSpeedPlugin).
    stage = flags.get("zero_stage")
    number = stage.value if isinstance(stage, Known) else 2
    spec: dict[str, Any] = {"kind": f"zero{number}" if number in {1, 2, 3} else "ddp"}
    for part in ("optimizer", "param"):
        device = flags.get(f"offload_{part}_device")
        if isinstance(device, Known) and device.value in _OFFLOADS:
            spec[f"offload_{part}"] = device.value
    origin = stage.origin if isinstance(stage, Known) else kind.origin
    return {"sharding": sharded(context, spec, origin)}


def _launched_precision(context: Context) -> Setting[Any] | None:
    given = _flags(context).get("mixed_precision")
    if given is None:
        return None
    return lift(given, lambda known: Known(_PRECISIONS.get(str(known.value), "no"), known.origin))


def _read(context: Context, call: Call) -> dict[str, Setting[Any]]:
    origin = context.script.origin(call.node, call.place)
    found: dict[str, Setting[Any]] = {"mixed_precision": _precision(context, call, origin)}
    asked = context.script.argument(call, "mixed_precision") or _flags(context).get("mixed_precision")
    if isinstance(asked, Known) and asked.value == "fp8":
        found["fp8"] = Known("accelerate", asked.origin)
    steps = context.script.argument(call, "gradient_accumulation_steps")
    accumulates = context.script.argument(call, "gradient_accumulation_plugin")
    if isinstance(accumulates, Known) and isinstance(accumulates.value, Instance):
        steps = context.script.argument(accumulates.value, "num_steps", 0)
    steps = steps if steps is not None else _flags(context).get("gradient_accumulation_steps")
    if steps is not None:
        found["gradient_accumulation_steps"] = steps
    for plugin in _PLUGINS:
        given = context.script.argument(call, plugin)
        if given is not None and not (isinstance(given, Known) and given.value is None):
            found |= _plugin(context, plugin, given, origin)
    return found


def _plugin(context: Context, plugin: str, given: Setting[Any], origin: Origin) -> dict[str, Setting[Any]]:
    """Read `DeepSpeedPlugin(zero_stage=…)` or its `hf_ds_config`, and `FullyShardedDataParallelPlugin(…)`."""
    made = given.value if isinstance(given, Known) else None
    if plugin == "deepspeed_plugin" and isinstance(made, Instance):
        config = context.script.argument(made, "hf_ds_config", 0)
        if config is not None and not (isinstance(config, Known) and config.value is None):
            return deepspeed.described(context, config)
        stage = context.script.argument(made, "zero_stage")
        number = 2 if stage is None else stage.value if isinstance(stage, Known) else None
        if number in {1, 2, 3}:
            return {"sharding": sharded(context, {"kind": f"zero{number}"}, origin)}
    if plugin == "deepspeed_plugin" and isinstance(made, Record):
        return deepspeed.described(context, given)
    if plugin == "fsdp_plugin" and isinstance(made, Instance):
        version = context.script.argument(made, "fsdp_version")
        second = isinstance(version, Known) and version.value == 2  # noqa: PLR2004  FSDP's
        return {"sharding": sharded(context, {"kind": "fsdp2" if second else "fsdp"}, origin)}
    return {
        "sharding": Unknown(f"Accelerator({plugin}=…) is not read; describe it with --set sharding=…", origin)
    }


def _left_open(origin: Origin) -> OneOf[Any]:
    """Return what `accelerate launch` or its YAML may say: none unless it does, else bf16 or fp16."""
    none = Origin("framework-default", "Accelerator() without a word of it: no mixed precision", origin.span)
    asked = (Known(one, Origin("framework-default", f"accelerate launch --mixed_precision {one}", origin.span))
             for one in ("bf16", "fp16"))  # fmt: skip
    why = "Accelerator() leaves mixed precision to `accelerate launch`; name it with --set mixed_precision=…"
    return OneOf((Known("no", none), *asked), why)


def _precision(context: Context, call: Call, origin: Origin) -> Setting[Any]:
    """Return the precision; left out or None, `accelerate launch --mixed_precision` or its YAML says."""
    given = context.script.argument(call, "mixed_precision")
    open_question = _launched_precision(context) or _left_open(origin)
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
