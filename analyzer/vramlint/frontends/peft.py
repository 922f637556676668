"""PEFT: LoRA and other adapters, by `get_peft_model` or a trainer's `peft_config`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from vramlint.facts.script import is_from, lift
from vramlint.facts.setting import Known, Setting, Unknown
from vramlint.facts.values import Instance, Items

if TYPE_CHECKING:
    from collections.abc import Mapping

    from vramlint.facts.names import Call
    from vramlint.frontends.base import Context, Training

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
    "VeraConfig": "vera",
}


def settings(context: Context, _training: Training) -> Mapping[str, Setting[Any]]:
    """Read the adapters that `get_peft_model` or `add_adapter` puts on the model."""
    found: dict[str, Setting[Any]] = {}
    for call in context.script.calls("get_peft_model", "add_adapter"):
        config = _config(context, call)
        if config is None:
            continue
        undecided = [arm for arm in call.place.path if context.script.evaluator.decided(arm) is None]
        setting = lift(config, lambda known: described(context, known))
        origin = context.script.origin(call.node, call.place)
        why = "adapters are added in a branch that depends on the run; name them with --set lora=…"
        found["lora"] = Unknown(why, origin) if undecided or setting is None else setting
        break
    return found


def _config(context: Context, call: Call) -> Setting[Any] | None:
    names = context.script.callee(call)
    if is_from(names, {"peft"}, {"get_peft_model"}):
        return context.script.argument(call, "peft_config", 1)
    if any(name == ".add_adapter" for name in names):
        return context.script.argument(call, "adapter_config", 0)
    return None


def described(context: Context, known: Known[Any]) -> Setting[Any] | None:
    """Return a PEFT config as the plan writes adapters; None for no config."""
    made = known.value
    if made is None:
        return Known(None, known.origin)
    name = (
        next((last for name in made.names if (last := name.rpartition(".")[2]) in _KINDS), "")
        if isinstance(made, Instance)
        else ""
    )
    if not name:
        return Unknown(
            f"the PEFT config `{known.origin.detail}` is not followed; name it with --set lora=…",
            known.origin,
        )
    spec: dict[str, Any] = {"kind": _KINDS[name]}
    fields = {
        "r": "r",
        "lora_dropout": "dropout",
        "target_modules": "target_modules",
        "modules_to_save": "modules_to_save",
    }
    for field, key in fields.items():
        given = context.script.argument(made, field)
        value = plain(context, given)
        if isinstance(value, Unknown):
            return value
        if value is not None:
            spec[key] = value
    for switch, kind in (("use_dora", "dora"), ("use_rslora", "rslora")):
        given = context.script.argument(made, switch)
        if isinstance(given, Known) and given.value is True:
            spec["kind"] = kind
    return Known(spec, known.origin)


def plain(context: Context, setting: Setting[Any] | None) -> Any:
    """Return a field's plain value or list of texts; None when left out, Unknown when not plain."""
    if setting is None:
        return None
    if not isinstance(setting, Known):
        return (
            setting
            if isinstance(setting, Unknown)
            else Unknown("the adapters differ between branches; name them with --set lora=…")
        )
    if isinstance(setting.value, Items):
        parts = [context.script.evaluator.force(item) for item in setting.value.items]
        if setting.value.gaps or not all(
            isinstance(part, Known) and isinstance(part.value, str) for part in parts
        ):
            return Unknown("the adapters' target_modules are known only at run time", setting.origin)
        return [part.value for part in parts if isinstance(part, Known)]
    if setting.value is None or isinstance(setting.value, str | int | float):
        return setting.value
    return Unknown(f"the adapters' `{setting.origin.detail}` is known only at run time", setting.origin)
