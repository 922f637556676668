"""DeepSpeed: the configuration that `deepspeed.initialize`, a Trainer or the launch line names.

Sources: deepspeed 0.19.8, runtime/config.py and runtime/zero/config.py; transformers integrations/deepspeed.py.
"""

from __future__ import annotations

import posixpath
import re
from typing import TYPE_CHECKING, Any

from vramlint.facts import configs
from vramlint.facts.script import is_from
from vramlint.facts.setting import Known, Origin, Setting, Unknown
from vramlint.facts.values import Instance, Record, is_scalar
from vramlint.frontends.trainer_arguments import Arguments
from vramlint.frontends.world import sharded

if TYPE_CHECKING:
    from collections.abc import Mapping

    from vramlint.facts.names import Call
    from vramlint.frontends.base import Context, Training

# What DeepSpeed builds for `optimizer.type` (runtime/engine.py, `_configure_basic_optimizer`).
_OPTIMIZERS = {
    "adam": "deepspeed.ops.adam.FusedAdam",
    "adamw": "torch.optim.AdamW",
    "lion": "lion_pytorch.Lion",
    "lamb": "apex.optimizers.FusedLAMB",
    "adagrad": "torch.optim.Adagrad",
    "sgd": "torch.optim.SGD",
}
_CONFIG_POSITION = 10
# The files that frameworks ship are named after their stage: `ds_z3_config.json`, `zero2.json`.
_STAGE_IN_NAME = re.compile(r"(?:zero|z|stage)[-_]?([123])(?!\d)")


def settings(context: Context, training: Training) -> Mapping[str, Setting[Any]]:
    """Read the configuration of a trainer's `deepspeed` argument or of `deepspeed.initialize`."""
    if training.trainer is not None:
        given = Arguments(context, training.trainer, training.arguments, "").given("deepspeed")
        return described(context, given) if given is not None else {}
    for call in context.script.calls("initialize"):
        if is_from(context.script.callee(call), {"deepspeed"}, {"initialize"}):
            return _initialized(context, call)
    return {}


def _initialized(context: Context, call: Call) -> dict[str, Setting[Any]]:
    given = context.script.argument(call, "config", _CONFIG_POSITION)
    given = given or context.script.argument(call, "config_params") or _launched(context)
    if given is None:
        origin = context.script.origin(call.node, call.place)
        why = "deepspeed.initialize takes its configuration from the launch line: --deepspeed_config, not known here"
        given = Unknown(why, origin)
    found = described(context, given)
    own = context.script.argument(call, "optimizer", 2)
    if own is not None and not (isinstance(own, Known) and own.value is None):
        found.pop("optimizer", None)
    return found


def _launched(context: Context) -> Setting[Any] | None:
    """Return the file that `--deepspeed_config` names."""
    flag = context.launch.flags.get("deepspeed_config")
    return context.script.evaluator.launched("deepspeed_config", flag) if flag else None


def described(context: Context, given: Setting[Any]) -> dict[str, Setting[Any]]:
    """Return the settings that a configuration decides; `given` is a path, a dict, or None for no DeepSpeed."""
    if isinstance(given, Known) and not given.value and is_scalar(given.value):
        return {}
    record = _record(context, given)
    if isinstance(record, Unknown):
        if record.origin is not None and record.origin.kind == "argument-default":
            return {}
        named = _by_name(context, given)
        return {"sharding": named} if named else dict.fromkeys(("sharding", "mixed_precision"), record)
    return _Config(context, record, _origin(given)).settings()


def _by_name(context: Context, given: Setting[Any]) -> Setting[Any] | None:
    """Return the sharding that the name of a file tells which is not there; what it offloads no name tells."""
    if not (isinstance(given, Known) and isinstance(given.value, str)) or "offload" in given.value:
        return None
    stage = _STAGE_IN_NAME.search(posixpath.basename(given.value).lower())
    if stage is None:
        return None
    detail = f"{given.value} is not found; its name says ZeRO-{stage[1]}"
    return sharded(context, {"kind": f"zero{stage[1]}"}, Origin("assumed", detail, given.origin.span))


def as_record(given: Known[Any]) -> Setting[Any]:
    """Return a recipe's `deepspeed` field: a path as it is, a mapping written in place as values."""
    if not isinstance(given.value, dict):
        return given
    return Known(_in_place(given.value, given.origin), given.origin)


def _in_place(mapping: Mapping[str, Any], origin: Origin) -> Record:
    return Record(
        {
            key: Known(_in_place(value, origin) if isinstance(value, dict) else value, origin)
            for key, value in mapping.items()
        }
    )


def _origin(given: Setting[Any]) -> Origin:
    return given.origin if isinstance(given, Known) else Origin("config", "DeepSpeed's configuration")


def _record(context: Context, given: Setting[Any]) -> Record | Unknown:
    value = given.value if isinstance(given, Known) else None
    if isinstance(value, Record):
        return value
    if isinstance(value, Instance) and value.call is not None and value.call.args:
        # `HfDeepSpeedConfig(path)` and its like hold what they are given.
        inner = context.script.value(value.call.args[0], value.place, value.frame)
        return (
            _record(context, inner)
            if isinstance(inner, Known) and inner.value is not value
            else _unread(inner)
        )
    if isinstance(value, str):
        file = configs.find(context.script.evaluator.modules.repository, value)
        if file is not None:
            return configs.record(file)
        return Unknown(
            f"DeepSpeed's configuration {value!r} is not found; describe it with --set sharding=…",
            _origin(given),
        )
    return _unread(given)


def _unread(given: Setting[Any]) -> Unknown:
    if isinstance(given, Unknown):
        return given
    return Unknown("DeepSpeed's configuration is known only at run time; describe it with --set sharding=…")


class _Config:
    """Reads one configuration; a field that says "auto" is the trainer's to fill in."""

    def __init__(self, context: Context, record: Record, origin: Origin) -> None:
        self.context = context
        self.record = record
        self.origin = origin

    def get(self, *keys: str) -> Known[Any] | None:
        """Return a plain value by its path of keys, None where it is not given, null or "auto"."""
        at: Setting[Any] = Known(self.record, self.origin)
        for key in keys:
            if not (isinstance(at, Known) and isinstance(at.value, Record) and key in at.value.items):
                return None
            at = self.context.script.evaluator.force(at.value.items[key])
        return (
            at if isinstance(at, Known) and at.value not in {None, "auto"} and is_scalar(at.value) else None
        )

    def settings(self) -> dict[str, Setting[Any]]:
        """Return what the configuration decides."""
        found: dict[str, Setting[Any]] = {"sharding": self.sharding()}
        for kind in ("bf16", "fp16"):
            enabled = self.get(kind, "enabled")
            if enabled is not None and enabled.value is True:
                # DeepSpeed casts the whole model (runtime/engine.py, `_configure_distributed_model`); the
                # dtype it was loaded in stays what loading says, and the engine knows of the cast.
                found["mixed_precision"] = Known(kind, enabled.origin)
        optimizer = self.get("optimizer", "type")
        if optimizer is not None:
            name = str(optimizer.value)
            found["optimizer"] = Known({"name": _OPTIMIZERS.get(name.lower(), name)}, optimizer.origin)
        for key, name in (
            ("train_micro_batch_size_per_gpu", "micro_batch_size"),
            ("gradient_accumulation_steps", "gradient_accumulation_steps"),
        ):
            value = self.get(key)
            if value is not None:
                found[name] = value
        whole = self.get("train_batch_size")
        if whole is not None and "micro_batch_size" not in found and isinstance(whole.value, int):
            found["micro_batch_size"] = self.share(whole)
        return found

    def share(self, whole: Known[int]) -> Setting[Any]:
        """Return one GPU's part of `train_batch_size`, which is that of all GPUs and all accumulated steps."""
        size, steps = self.context.world_size, self.get("gradient_accumulation_steps")
        if size is not None:
            count = size.value * (steps.value if steps is not None else 1)
            detail = f"{whole.origin.detail}, over {count} micro batches"
            return Known(max(whole.value // count, 1), Origin(whole.origin.kind, detail, whole.origin.span))
        why = f"train_batch_size = {whole.value} is that of all GPUs; name them with --world-size"
        return Unknown(why, whole.origin, (1, whole.value, whole.value))

    def sharding(self) -> Setting[Any]:
        """Return ZeRO's stage and what it offloads."""
        stage = self.get("zero_optimization", "stage")
        number = stage.value if stage is not None and isinstance(stage.value, int) else 0
        origin = stage.origin if stage is not None else self.origin
        spec: dict[str, Any] = {"kind": f"zero{number}" if number in {1, 2, 3} else "ddp"}
        for part in ("optimizer", "param"):
            device = self.get("zero_optimization", f"offload_{part}", "device")
            if device is not None and device.value in {"cpu", "nvme"}:
                spec[f"offload_{part}"] = device.value
        old = self.get("zero_optimization", "cpu_offload")
        if old is not None and old.value is True:
            spec["offload_optimizer"] = "cpu"
        return sharded(self.context, spec, origin)
