"""LLaMA-Factory: the YAML of `llamafactory-cli train`.

Source: LLaMA-Factory at commit ff6d4d1, `hparams/` and `model/`; defaults stand in
`knowledge/defaults/llamafactory.json`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from vramlint.facts.setting import Known, Setting, Unknown
from vramlint.frontends import recipe
from vramlint.frontends.recipe import Fields, Recipe

if TYPE_CHECKING:
    from vramlint.frontends.base import Context
    from vramlint.source.config_file import ConfigFile

_TASKS = {"pt": "causal-lm", "sft": "causal-lm", "rm": "reward", "ppo": "ppo", "dpo": "dpo", "kto": "kto"}
_ATTENTION = {"fa2": "flash_attention_2", "sdpa": "sdpa", "disabled": "eager"}
_REFERENCE_FREE = {"orpo", "simpo"}


def recipe_of(context: Context, file: ConfigFile) -> Recipe | None:
    """Return the run of a LLaMA-Factory YAML: it has a stage, and trains."""
    if not file.has("model_name_or_path", "stage"):
        return None
    fields = Fields(context, file, "llamafactory")
    trains = fields.on("do_train")
    task = _TASKS.get(str(fields.value("stage")))
    if trains is None or task is None:
        return None
    framework = "transformers" if task == "causal-lm" else "trl"
    return Recipe(
        framework, (framework, "llamafactory"), fields.begin("model_name_or_path"), _settings(fields, task)
    )


def _settings(fields: Fields, task: str) -> dict[str, Setting[Any]]:
    found: dict[str, Setting[Any]] = {
        "model": recipe.model(fields, "model_name_or_path"),
        "task": Known(task, fields.origin("stage")),
        "micro_batch_size": _argument(fields, "per_device_train_batch_size"),
        "gradient_accumulation_steps": _argument(fields, "gradient_accumulation_steps"),
        "optimizer": recipe.optimizer(_optimizer(fields)),
        "sequence_length": recipe.length(fields.field("cutoff_len"), "cutoff_len"),
        "mixed_precision": _mixed(fields),
        "lora": _lora(fields),
        "quantization": _quantization(fields),
        "gradient_checkpointing": _checkpointing(fields),
        **recipe.sharded(fields),
    }
    found["param_dtype"] = _dtype(fields, found["lora"])
    attention = fields.given("flash_attn")
    if attention is not None and attention.value in _ATTENTION:
        found["attention"] = Known(_ATTENTION[attention.value], attention.origin)
    liger = fields.on("enable_liger_kernel")
    if liger is not None:
        found["loss"] = Known("liger", liger.origin)
    return {**found, **_beside(fields, task, found["lora"]), **_frozen(fields)}


def _argument(fields: Fields, name: str) -> Setting[Any]:
    """Return a field of TrainingArguments, which LLaMA-Factory's arguments are."""
    given = fields.given(name)
    if given is not None:
        return given
    default = fields.context.default("transformers.TrainingArguments", name)
    return default if default is not None else fields.default(None, name)


def _optimizer(fields: Fields) -> Setting[Any] | None:
    """Return the optimizer; switches such as `use_galore` replace it."""
    switches = {"use_galore": "galore_adamw", "use_apollo": "apollo_adamw", "use_badam": "BAdam",
                "use_adam_mini": "adam_mini", "use_muon": "muon"}  # fmt: skip
    for switch, name in switches.items():
        on = fields.on(switch)
        if on is not None:
            return Known(name, on.origin)
    return _argument(fields, "optim")


def _mixed(fields: Fields) -> Setting[Any]:
    pure = fields.on("pure_bf16")
    if pure is not None:
        return Known("no", pure.origin)
    for name in ("bf16", "fp16"):
        on = fields.on(name)
        if on is not None:
            return Known(name, on.origin)
    return fields.default("no", "bf16 and fp16 off")


def _dtype(fields: Fields, lora: Setting[Any]) -> Setting[Any]:
    """Return the dtype of the weights: what is trained whole is float32 unless pure_bf16 or ZeRO-3 keep it half."""
    pure, deepspeed = fields.on("pure_bf16"), fields.given("deepspeed")
    if pure is not None:
        return Known("bfloat16", pure.origin)
    is_full = isinstance(lora, Known) and lora.value is None
    if is_full and deepspeed is None and fields.on("use_badam") is None:
        return fields.default("float32", "full fine-tuning trains float32 parameters")
    if is_full and deepspeed is not None and "3" not in str(deepspeed.value):
        return Unknown("ZeRO-3 keeps parameters in half, other stages train float32", deepspeed.origin)
    for name, dtype in (("bf16", "bfloat16"), ("fp16", "float16")):
        on = fields.on(name)
        if on is not None:
            return Known(dtype, on.origin)
    return fields.default("auto", "the checkpoint's own dtype")


def _lora(fields: Fields) -> Setting[Any]:
    kind = fields.field("finetuning_type")
    if not isinstance(kind, Known):
        return Unknown("finetuning_type is not known; name it with --set lora=…")
    if kind.value in {"full", "freeze"}:
        return Known(None, kind.origin)
    if kind.value != "lora":
        return Unknown(f"finetuning_type {kind.value!r} is not read; name it with --set lora=…", kind.origin)
    spec: dict[str, Any] = {
        "kind": "lora",
        "r": fields.value("lora_rank"),
        "dropout": fields.value("lora_dropout") or 0.0,
    }
    target = fields.value("lora_target")
    spec["target_modules"] = "all-linear" if target == "all" else recipe.names_of_modules(target)
    saved = recipe.names_of_modules(fields.value("additional_target"))
    if saved:
        spec["modules_to_save"] = saved
    for switch, name in (("use_dora", "dora"), ("use_rslora", "rslora")):
        if fields.on(switch):
            spec["kind"] = name
    if fields.on("pure_bf16"):
        spec["dtype"] = "bfloat16"
    return Known(spec, kind.origin)


def _quantization(fields: Fields) -> Setting[Any]:
    bits = fields.given("quantization_bit")
    if bits is None:
        return fields.default(None, "quantization_bit is not given")
    method = fields.value("quantization_method") or "bnb"
    if method not in {"bnb", "bitsandbytes"}:
        return Known({"kind": str(method)}, bits.origin)
    if bits.value == 8:  # noqa: PLR2004  the number of bits
        return Known({"kind": "int8", "prepared_for_kbit": False}, bits.origin)
    double = fields.value("double_quantization") is not False
    compute = "float16" if fields.on("fp16") else "bfloat16"
    kind = fields.value("quantization_type") or "nf4"
    spec = {"kind": kind, "double": double, "compute_dtype": compute, "prepared_for_kbit": False}
    return Known(spec, bits.origin)


def _checkpointing(fields: Fields) -> Setting[Any]:
    off = fields.on("disable_gradient_checkpointing")
    if off is not None:
        return Known(None, off.origin)
    reentrant = fields.value("use_reentrant_gc") is not False
    if fields.on("use_unsloth") or fields.on("use_unsloth_gc"):
        return fields.default({"use_reentrant": True, "offload": True}, "Unsloth offloads checkpoints")
    return fields.default({"use_reentrant": reentrant}, "on unless disable_gradient_checkpointing")


def _beside(fields: Fields, task: str, lora: Setting[Any]) -> dict[str, Setting[Any]]:
    """Return the reference model of full preference training, and the reward model of PPO."""
    found: list[dict[str, Any]] = []
    named = fields.given("ref_model")
    if named is not None:
        found.append({"role": "reference", "model": {"id": named.value}, "device": "cuda"})
    is_full = isinstance(lora, Known) and lora.value is None
    free = fields.value("pref_loss") in _REFERENCE_FREE
    if task in {"dpo", "kto", "ppo"} and is_full and named is None and not free:
        found.append({"role": "reference", "model": None, "device": "cuda"})
    reward = fields.given("reward_model")
    if reward is not None and fields.value("reward_model_type") == "full":
        found.append({"role": "reward", "model": {"id": reward.value}, "device": "cuda"})
    return {"extra_models": Known(found, fields.origin("stage"))} if found else {}


def _frozen(fields: Fields) -> dict[str, Setting[Any]]:
    if fields.value("finetuning_type") != "freeze":
        return {}
    why = "finetuning_type: freeze trains the last layers only; say what is frozen with --set frozen='[…]'"
    return {"frozen": Unknown(why, fields.origin("finetuning_type"))}
