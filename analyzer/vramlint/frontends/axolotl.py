"""axolotl: the YAML of `axolotl train`.

Source: axolotl at commit 067b021, `src/axolotl/utils/schemas/`; defaults stand in `knowledge/defaults/axolotl.json`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from vramlint.facts.setting import Known, Setting, Unknown
from vramlint.frontends import recipe
from vramlint.frontends.recipe import Fields, Recipe

if TYPE_CHECKING:
    from vramlint.frontends.base import Context
    from vramlint.source.config_file import ConfigFile

_OWN = ("micro_batch_size", "sequence_len", "adapter", "val_set_size", "num_epochs", "datasets")
_ATTENTION = {
    "flash_attention": "flash_attention_2",
    "sdp_attention": "sdpa",
    "flex_attention": "flex_attention",
    "eager_attention": "eager",
}
_TASKS = {"dpo": "dpo", "ipo": "dpo", "simpo": "cpo", "orpo": "orpo", "kto": "kto", "grpo": "grpo"}
_REFERENCE = {"dpo", "kto"}


def recipe_of(context: Context, file: ConfigFile) -> Recipe | None:
    """Return the run of an axolotl YAML: it names a base model and how to train it."""
    if not file.has("base_model") or not any(file.has(name) for name in _OWN):
        return None
    fields = Fields(context, file, "axolotl")
    task = _TASKS.get(str(fields.value("rl")))
    framework = "trl" if task else "transformers"
    return Recipe(framework, (framework, "axolotl"), fields.begin("base_model"), _settings(fields, task))


def _settings(fields: Fields, task: str | None) -> dict[str, Setting[Any]]:
    found: dict[str, Setting[Any]] = {
        "model": recipe.model(fields, "base_model"),
        "micro_batch_size": _count(fields, "micro_batch_size"),
        "gradient_accumulation_steps": _count(fields, "gradient_accumulation_steps"),
        "sequence_length": recipe.length(fields.field("sequence_len"), "sequence_len"),
        "optimizer": recipe.optimizer(fields.field("optimizer")),
        "task": Known(task or "causal-lm", fields.origin("rl" if task else "base_model")),
        "lora": _lora(fields),
        "quantization": _quantization(fields),
        "gradient_checkpointing": _checkpointing(fields),
        **_precision(fields),
        **_attention(fields),
        **_loss(fields),
        **recipe.sharded(fields),
    }
    frozen = fields.given("unfrozen_parameters")
    if frozen is not None:
        found["frozen"] = Unknown(
            "unfrozen_parameters freezes the rest; say what with --set frozen='[…]'", frozen.origin
        )
    is_full = isinstance(found["lora"], Known) and found["lora"].value is None
    if task in _REFERENCE and is_full:
        found["extra_models"] = Known(
            [{"role": "reference", "model": None, "device": "cuda"}], fields.origin("rl")
        )
    return found


def _count(fields: Fields, name: str) -> Setting[Any]:
    found = fields.field(name)
    return found if found is not None else fields.default(1, name)


def _lora(fields: Fields) -> Setting[Any]:
    adapter = fields.given("adapter")
    if adapter is None:
        return fields.default(None, "no adapter")
    if adapter.value not in {"lora", "qlora"}:
        return Unknown(
            f"the adapter {adapter.value!r} is not read; name it with --set lora=…", adapter.origin
        )
    spec: dict[str, Any] = {"kind": "lora", "r": fields.value("lora_r") or 8}
    for switch, kind in (("peft_use_dora", "dora"), ("peft_use_rslora", "rslora")):
        if fields.on(switch):
            spec["kind"] = kind
    spec["dropout"] = fields.value("lora_dropout") or 0.0
    targets = fields.value("lora_target_modules")
    if fields.on("lora_target_linear"):
        spec["target_modules"] = "all-linear"
    elif targets:
        spec["target_modules"] = targets if isinstance(targets, str) else recipe.names_of_modules(targets)
    saved = recipe.names_of_modules(fields.value("lora_modules_to_save"))
    return Known({**spec, **({"modules_to_save": saved} if saved else {})}, adapter.origin)


def _quantization(fields: Fields) -> Setting[Any]:
    """Return the weights' bits; `load_in_8bit: false` above `load_in_4bit: true` says nothing."""
    four, eight, packed = fields.on("load_in_4bit"), fields.on("load_in_8bit"), fields.on("gptq")
    if four is not None:
        spec = {"kind": "nf4", "double": True, "compute_dtype": "bfloat16", "prepared_for_kbit": False}
        return Known(spec, four.origin)
    if eight is not None:
        return Known({"kind": "int8"}, eight.origin)
    return (
        Known({"kind": "gptq"}, packed.origin)
        if packed is not None
        else fields.default(None, "not quantized")
    )


def _checkpointing(fields: Fields) -> Setting[Any]:
    given = fields.given("gradient_checkpointing", "activation_checkpointing")
    if given is None or given.value is False:
        return Known(None, given.origin) if given else fields.default(None, "gradient_checkpointing off")
    reentrant = fields.value("gradient_checkpointing_kwargs.use_reentrant")
    spec = {"use_reentrant": reentrant is not False and reentrant is not None}
    offloads = given.value in {"unsloth", "offload", "offload_disk"} or fields.on("activation_offloading")
    return Known({**spec, "offload": True} if offloads else spec, given.origin)


def _precision(fields: Fields) -> dict[str, Setting[Any]]:
    """Return autocast and the dtype that the base model is loaded in: the same half."""
    half = fields.on("fp16") or fields.on("float16")
    if half is not None:
        return {"mixed_precision": Known("fp16", half.origin), "param_dtype": Known("float16", half.origin)}
    brain = fields.field("bf16")
    if isinstance(brain, Known) and brain.value in {True, "auto", "true"}:
        return {
            "mixed_precision": Known("bf16", brain.origin),
            "param_dtype": Known("bfloat16", brain.origin),
        }
    if isinstance(brain, Known) and brain.value == "full":
        return {"mixed_precision": Known("no", brain.origin), "param_dtype": Known("bfloat16", brain.origin)}
    plain = fields.on("bfloat16")
    if plain is not None:
        return {"mixed_precision": Known("no", plain.origin), "param_dtype": Known("bfloat16", plain.origin)}
    origin = fields.origin("bf16")
    return {"mixed_precision": Known("no", origin), "param_dtype": Known("float32", origin)}


def _attention(fields: Fields) -> dict[str, Setting[Any]]:
    given = fields.given("attn_implementation")
    if given is not None:
        return {"attention": given}
    for switch, name in _ATTENTION.items():
        on = fields.on(switch)
        if on is not None:
            return {"attention": Known(name, on.origin)}
    return {}


def _loss(fields: Fields) -> dict[str, Setting[Any]]:
    switches = {"cut_cross_entropy": "cut-cross-entropy", "liger_fused_linear_cross_entropy": "liger",
                "chunked_cross_entropy": "chunked"}  # fmt: skip
    for switch, name in switches.items():
        on = fields.on(switch)
        if on is not None:
            return {"loss": Known(name, on.origin)}
    return {}
