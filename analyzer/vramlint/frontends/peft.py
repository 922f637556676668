"""PEFT: LoRA and other adapters, by `get_peft_model`, `add_adapter` or a trainer's `peft_config`.

Source: peft 0.21.2, the config classes under `tuners/`, and `PeftModel.from_pretrained`.
"""

from __future__ import annotations

import ast
import re
from typing import TYPE_CHECKING, Any

from vramlint.facts.script import is_from, lift, package
from vramlint.facts.setting import Known, Setting, Unknown
from vramlint.facts.shown import source
from vramlint.facts.values import Function, Instance, Items, Record
from vramlint.frontends import trl_model_config
from vramlint.frontends.trace import traced

if TYPE_CHECKING:
    from collections.abc import Mapping

    from vramlint.facts.names import Arm, Call
    from vramlint.frontends.base import Context, Training

# Functions of a program's own that put low-rank adapters into a model, such as `inject_trainable_lora`.
_PUTS_IN = re.compile(r"(?:inject|add|apply|insert|convert_to|replace\w*_with)_(?:\w+_)?lora$|mark_only_lora")
_READ_ELSEWHERE = {"peft", "diffusers", "transformers", "unsloth", "trl"}
_KINDS = {
    "LoraConfig": "lora",
    "IA3Config": "ia3",
    "PromptTuningConfig": "prompt",
    "PrefixTuningConfig": "prefix",
    "AdaLoraConfig": "adalora",
    "LoHaConfig": "loha",
    "LoKrConfig": "lokr",
    "OFTConfig": "oft",
    "BOFTConfig": "boft",
    "PromptEncoderConfig": "p-tuning",
    "MultitaskPromptTuningConfig": "multitask-prompt",
    "AdaptionPromptConfig": "adaption-prompt",
    "VeraConfig": "vera",
    "XLoraConfig": "xlora",
    "LNTuningConfig": "ln-tuning",
    "FourierFTConfig": "fourierft",
    "BoneConfig": "bone",
    "MissConfig": "miss",
    "HRAConfig": "hra",
    "VBLoRAConfig": "vblora",
    "RandLoraConfig": "randlora",
    "TrainableTokensConfig": "trainable-tokens",
    "C3AConfig": "c3a",
    "RoadConfig": "road",
}
_FIELDS = {
    "r": "r",
    "lora_dropout": "dropout",
    "target_modules": "target_modules",
    "modules_to_save": "modules_to_save",
    "vera_dropout": "dropout",
    "init_r": "r",
    "num_virtual_tokens": "num_virtual_tokens",
    "encoder_hidden_size": "encoder_hidden_size",
    "encoder_num_layers": "encoder_num_layers",
    "prefix_projection": "prefix_projection",
    "num_tasks": "num_tasks",
    "num_ranks": "num_ranks",
    "decompose_both": "decompose_both",
    "decompose_factor": "decompose_factor",
}
# What PEFT takes where a script does not say, if it is not the plan's own default (the config classes).
_DEFAULTS: dict[str, dict[str, Any]] = {"adalora": {"r": 12}, "vera": {"r": 256}}
# AdaLoRA replaces `r` by `init_r` until it takes ranks away.
_REPLACED = {("adalora", "r")}
_ENCODER = "encoder_reparameterization_type"
_RUN_TIME = "are known only at run time; name them with --set lora=…"


def settings(context: Context, training: Training) -> Mapping[str, Setting[Any]]:
    """Read the adapters that `get_peft_model`, `add_adapter` or `PeftModel.from_pretrained` puts on the model."""
    if "lora" in training.settings:
        return {}
    for call in context.script.calls("get_peft_model", "add_adapter", "inject_adapter_in_model"):
        config = _config(context, call)
        if config is None or not _is_on_the_trained(context, call, training):
            continue
        return {"lora": _in_branch(context, call, lift(config, lambda known: described(context, known)))}
    return _loaded(context, training) or _by_hand(context)


def _by_hand(context: Context) -> dict[str, Setting[Any]]:
    """Return an unknown where a function that is not PEFT's puts adapters into the model."""
    for name in context.script.names.calls:
        if not _PUTS_IN.search(name.lower()):
            continue
        for call in context.script.calls(name):
            if not any(package(one) in _READ_ELSEWHERE for one in context.script.callee(call)):
                why = f"`{name}` adds adapters of the program's own; name them with --set lora=…"
                return {"lora": Unknown(why, context.script.origin(call.node, call.place))}
    return {}


def _in_branch(context: Context, call: Call, setting: Setting[Any] | None) -> Setting[Any]:
    origin = context.script.origin(call.node, call.place)
    undecided = [
        arm
        for arm in call.place.path
        if context.script.evaluator.decided(arm) is None and not _is_resuming(arm)
    ]
    if undecided or setting is None:
        why = "adapters are added in a branch that depends on the run; name them with --set lora=…"
        return Unknown(why, origin)
    return setting


def _is_resuming(arm: Arm) -> bool:
    """Return whether a branch asks for a checkpoint to go on from: the adapters are like those of a first start."""
    test = source(arm.branch.test).lower() if isinstance(arm.branch, ast.If) else ""
    return "checkpoint" in test or "resum" in test


def _config(context: Context, call: Call) -> Setting[Any] | None:
    names = context.script.callee(call)
    if is_from(names, {"peft"}, {"get_peft_model"}):
        return context.script.argument(call, "peft_config", 1)
    if is_from(names, {"peft"}, {"inject_adapter_in_model"}):
        return context.script.argument(call, "peft_config", 0)
    if any(name == ".add_adapter" for name in names):
        return context.script.argument(call, "adapter_config", 0)
    return None


def _is_on_the_trained(context: Context, call: Call, training: Training) -> bool:
    """Return False where adapters go on another model than the trained one; an unknown owner counts."""
    if training.model is None:
        return True
    owner = (
        context.script.receiver(call)
        if any(name == ".add_adapter" for name in context.script.callee(call))
        else context.script.argument(call, "model", 0)
    )
    owners = {one.key for one in traced(context.script, owner)}
    trained = {one.key for one in traced(context.script, training.model)}
    made = all(isinstance(one.base.value, Instance) for one in traced(context.script, owner))
    return not owners or not trained or not made or bool(owners & trained)


def _loaded(context: Context, training: Training) -> dict[str, Setting[Any]]:
    """Read `PeftModel.from_pretrained`: adapters of a checkpoint, frozen unless `is_trainable=True`."""
    for one in traced(context.script, training.model):
        for made in one.through:
            if made.call is None or not any(
                name.endswith("PeftModel.from_pretrained") for name in made.names
            ):
                continue
            if any(step.method in {"merge_and_unload", "unload"} for step in one.through):
                return {}
            trainable = context.script.argument(made, "is_trainable", 3)
            on = isinstance(trainable, Known) and trainable.value is True
            why = (
                "the adapters come from a checkpoint, whose config says how large they are"
                if on
                else "the loaded adapters are frozen unless is_trainable=True"
            )
            origin = context.script.origin(made.call, made.place)
            return {"lora": Unknown(f"{why}; name them with --set lora=…", origin)}
    return {}


def described(context: Context, known: Known[Any]) -> Setting[Any] | None:
    """Return a PEFT config as the plan writes adapters; None for no config."""
    made = known.value
    if made is None:
        return Known(None, known.origin)
    if trl_model_config.is_helper(made, "get_peft_config"):
        return trl_model_config.adapters(context, known)
    name = _class(made)
    if not name:
        why = f"the PEFT config `{known.origin.detail}` is not followed; name it with --set lora=…"
        return Unknown(why, known.origin)
    kind = _KINDS[name]
    spec = _fields_of(context, made, kind)
    if isinstance(spec, Unknown):
        return spec
    spec = {"kind": kind, **_DEFAULTS.get(kind, {}), **spec}
    if not isinstance(spec.get("r", 1), int):
        return Unknown(f"the rank {spec['r']!r} {_RUN_TIME}", known.origin)
    return Known({**spec, **_switched(context, made)}, known.origin)


def _switched(context: Context, made: Any) -> dict[str, Any]:
    """Return what single arguments make of a kind: DoRA and rsLoRA of LoRA, and the encoder of P-tuning."""
    spec: dict[str, Any] = {}
    for switch, kind in (("use_dora", "dora"), ("use_rslora", "rslora")):
        given = context.script.argument(made, switch)
        if isinstance(given, Known) and given.value is True:
            spec["kind"] = kind
    encoder = context.script.argument(made, _ENCODER)
    if (
        isinstance(encoder, Known | Unknown) and encoder.origin is not None
    ):  # a member of an enumeration, or a text
        spec[_ENCODER] = "LSTM" if "LSTM" in encoder.origin.detail.upper() else "MLP"
    return spec


def _fields_of(context: Context, made: Instance, kind: str) -> dict[str, Any] | Unknown:
    """Return the fields that a config's call gives, by their names in the plan."""
    spec: dict[str, Any] = {}
    for field, key in _FIELDS.items():
        value = plain(context, context.script.argument(made, field))
        if isinstance(value, Unknown) and field == "target_modules" and _collects_linears(context, made):
            value = "all-linear"
        if isinstance(value, Unknown):
            return value
        if value is not None and (kind, field) not in _REPLACED:
            spec[key] = value
    return spec


def _collects_linears(context: Context, made: Instance) -> bool:
    """Return whether target_modules come from a function of the program that collects the model's linear layers."""
    given = next(
        (one.value for one in made.call.keywords if one.arg == "target_modules"), None
    ) if made.call else None  # fmt: skip
    if isinstance(given, ast.Name):
        bindings, _, _ = context.script.evaluator.bindings(given.id, made.place, made.frame)
        given = next((one.value for one in bindings if isinstance(one.value, ast.Call)), None)
    if not isinstance(given, ast.Call):
        return False
    callee = context.script.value(given.func, made.place, made.frame)
    if not (isinstance(callee, Known) and isinstance(callee.value, Function)):
        return False
    names = {node.attr for node in ast.walk(callee.value.node) if isinstance(node, ast.Attribute)}
    return "named_modules" in names and any(name.startswith("Linear") for name in names)


def _class(made: object) -> str:
    names = made.names if isinstance(made, Instance) else ()
    return next((last for name in names if (last := name.rpartition(".")[2]) in _KINDS), "")


def plain(context: Context, setting: Setting[Any] | None) -> Any:
    """Return a field's plain value or list of texts; None when left out, Unknown when not plain."""
    if setting is None:
        return None
    if isinstance(setting, Unknown):
        return setting
    if not isinstance(setting, Known):
        return Unknown("the adapters differ between branches; name them with --set lora=…")
    value = setting.value
    if isinstance(value, Items | Record):
        return _texts(context, setting)
    if value is None or isinstance(value, str | int | float):
        return value
    return Unknown(f"the adapters' `{setting.origin.detail}` {_RUN_TIME}", setting.origin)


def _texts(context: Context, setting: Known[Any]) -> Any:
    items = setting.value.items if isinstance(setting.value, Items) else ()
    parts = [context.script.evaluator.force(item) for item in items]
    texts = [part.value for part in parts if isinstance(part, Known) and isinstance(part.value, str)]
    if isinstance(setting.value, Record) or setting.value.gaps or len(texts) != len(parts):
        return Unknown(f"the adapters' target_modules {_RUN_TIME}", setting.origin)
    return texts
