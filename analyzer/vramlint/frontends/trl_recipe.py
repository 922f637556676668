"""TRL and alignment-handbook: the YAML that `trl sft --config` or a script with TrlParser reads.

Source: trl 1.16.0, `scripts/`, and alignment-handbook at commit 925acdf, `recipes/`.
"""

from __future__ import annotations

from pathlib import PurePath
from typing import TYPE_CHECKING, Any

from vramlint.facts.setting import Known, Origin, Setting, Unknown
from vramlint.frontends import recipe
from vramlint.frontends.recipe import Fields, Recipe
from vramlint.frontends.transformers_models import ATTENTION

if TYPE_CHECKING:
    from vramlint.frontends.base import Context
    from vramlint.source.config_file import ConfigFile

# What the YAML of every training has, and what only other tools' have.
_TRAINING = ("per_device_train_batch_size", "learning_rate", "num_train_epochs", "max_steps")
_FOREIGN = ("stage", "base_model", "finetuning_type")
# Fields that only one trainer has, the most telling first.
_TELLING = (
    ("num_generations", "grpo"),
    ("max_completion_length", "grpo"),
    ("rloo_k", "rloo"),
    ("desirable_weight", "kto"),
    ("response_length", "ppo"),
    ("center_rewards_coefficient", "reward"),
    ("max_prompt_length", "dpo"),
    ("beta", "dpo"),
)
_IN_NAMES = ("grpo", "rloo", "orpo", "kto", "cpo", "dpo", "reward", "ppo", "sft")
_CONFIGS = {"grpo": "GRPO", "rloo": "RLOO", "orpo": "ORPO", "kto": "KTO", "cpo": "CPO", "dpo": "DPO",
            "reward": "Reward", "ppo": "PPO", "sft": "SFT"}  # fmt: skip


def recipe_of(context: Context, file: ConfigFile) -> Recipe | None:
    """Return the run of a YAML with TRL's or transformers' fields."""
    if not file.has("model_name_or_path") or any(file.has(name) for name in _FOREIGN):
        return None
    if not any(file.has(name) for name in _TRAINING):
        return None
    method = _method(file)
    fields = Fields(context, file, f"trl.{_CONFIGS[method]}Config")
    return Recipe("trl", ("trl",), fields.begin("model_name_or_path"), _settings(fields, method))


def _method(file: ConfigFile) -> str:
    """Return which trainer a recipe is for: its command or place says it, else a field that only one has."""
    parts = (
        set(file.command.split())
        | {part.lower() for part in PurePath(file.path).parts[-3:]}
        | set(PurePath(file.path).stem.lower().split("_"))
    )
    by_name = next((name for name in _IN_NAMES if name in parts), None)
    return by_name or next((method for field, method in _TELLING if file.has(field)), "sft")


def _settings(fields: Fields, method: str) -> dict[str, Setting[Any]]:
    lora = _lora(fields)
    found: dict[str, Setting[Any]] = {
        "model": recipe.model(fields, "model_name_or_path"),
        "task": Known("causal-lm" if method == "sft" else method, fields.origin("model_name_or_path")),
        "micro_batch_size": _or_unknown(fields, "per_device_train_batch_size"),
        "gradient_accumulation_steps": _or_unknown(fields, "gradient_accumulation_steps"),
        "optimizer": recipe.optimizer(fields.field("optim")),
        "param_dtype": _dtype(fields),
        "mixed_precision": _mixed(fields),
        "sequence_length": _length(fields, method),
        "gradient_checkpointing": _checkpointing(fields),
        "lora": lora,
        "quantization": _quantization(fields),
        **recipe.sharded(fields),
    }
    attention = fields.given("attn_implementation")
    if attention is not None and attention.value in ATTENTION:
        found["attention"] = attention
    if fields.on("use_liger_kernel"):
        found["loss"] = Known("liger", fields.origin("use_liger_kernel"))
    if _needs_reference(fields, method) and lora.value is None:
        found["extra_models"] = Known(
            [{"role": "reference", "model": None, "device": "cuda"}], fields.origin("beta")
        )
    return found


def _or_unknown(fields: Fields, name: str) -> Setting[Any]:
    found = fields.field(name)
    return found if found is not None else Unknown(f"{name} is not given; name it with --set")


def _dtype(fields: Fields) -> Setting[Any]:
    """Return the dtype of loading: the recipe's, else that of ModelConfig, whose null is the library's default."""
    given = recipe.dtype(fields.given("torch_dtype", "dtype"))
    if given is not None:
        return given
    context = fields.context
    default = context.default("trl.ModelConfig", "dtype") or context.default("trl.ModelConfig", "torch_dtype")
    said_null = any(fields.file.has(name) for name in ("torch_dtype", "dtype"))
    if isinstance(default, Known) and default.value is not None and not said_null:
        return default
    return context.default("transformers.from_pretrained", "dtype") or Unknown(
        "the dtype depends on the version"
    )


def _mixed(fields: Fields) -> Setting[Any]:
    half = fields.on("fp16")
    if half is not None and fields.given("bf16") is None:
        return Known("fp16", half.origin)
    brain = fields.field("bf16")
    if isinstance(brain, Known):
        return Known("bf16" if brain.value else "no", brain.origin)
    return Unknown("whether bf16 is on is not known; name it with --set mixed_precision=…")


def _length(fields: Fields, method: str) -> Setting[Any]:
    if method in {"grpo", "rloo", "ppo"}:
        prompt, completion = fields.field("max_prompt_length"), fields.field("max_completion_length")
        if isinstance(prompt, Known) and isinstance(completion, Known) and isinstance(prompt.value, int):
            total = prompt.value + completion.value
            said = f"prompt {prompt.value} + completion {completion.value}"
            return Known(total, Origin(completion.origin.kind, said, completion.origin.span))
        return Unknown("nothing bounds the prompts; name it with --set sequence_length=…")
    return recipe.length(
        fields.given("max_length", "max_seq_length") or fields.field("max_length"), "max_length"
    )


def _checkpointing(fields: Fields) -> Setting[Any]:
    on = fields.field("gradient_checkpointing")
    if not isinstance(on, Known) or not on.value:
        return Known(None, on.origin) if isinstance(on, Known) else fields.default(None, "off")
    kwargs = fields.given("gradient_checkpointing_kwargs.use_reentrant")
    default = fields.context.default("transformers.gradient_checkpointing_enable", "use_reentrant")
    chosen = kwargs if kwargs is not None else default
    return Known({"use_reentrant": isinstance(chosen, Known) and chosen.value is True}, on.origin)


def _lora(fields: Fields) -> Known[Any]:
    use = fields.on("use_peft")
    if use is None:
        return Known(None, Origin("framework-default", "trl.ModelConfig: use_peft is off"))
    spec: dict[str, Any] = {"kind": "lora"}
    for switch, kind in (("use_dora", "dora"), ("use_rslora", "rslora")):
        if fields.on(switch):
            spec["kind"] = kind
    for key, name in (("r", "lora_r"), ("dropout", "lora_dropout")):
        given = fields.given(name) or fields.context.default("trl.ModelConfig", name)
        if isinstance(given, Known):
            spec[key] = given.value
    for key, name in (("target_modules", "lora_target_modules"), ("modules_to_save", "lora_modules_to_save")):
        given = fields.given(name)
        if given is not None:
            whole = given.value == "all-linear"
            spec[key] = given.value if whole else recipe.names_of_modules(given.value)
    return Known(spec, use.origin)


def _quantization(fields: Fields) -> Setting[Any]:
    four, eight = fields.on("load_in_4bit"), fields.on("load_in_8bit")
    if four is None:
        return Known({"kind": "int8"}, eight.origin) if eight else fields.default(None, "not quantized")
    spec: dict[str, Any] = {"kind": fields.value("bnb_4bit_quant_type") or "nf4"}
    spec["double"] = fields.on("use_bnb_nested_quant") is not None
    compute = recipe.dtype(fields.given("torch_dtype", "dtype"))
    if isinstance(compute, Known) and compute.value != "auto":
        spec["compute_dtype"] = compute.value
    storage = fields.given("bnb_4bit_quant_storage")
    if storage is not None:
        spec["storage_dtype"] = storage.value
    return Known(spec, four.origin)


def _needs_reference(fields: Fields, method: str) -> bool:
    if method in {"grpo", "rloo"}:
        return bool(fields.value("beta"))
    return method in {"dpo", "kto"} and not fields.on("precompute_ref_log_probs")
