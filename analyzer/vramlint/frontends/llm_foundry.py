"""LLM Foundry: the YAML of `composer train.py yamls/finetune/x.yaml`.

Source: llm-foundry 0.22, `command_utils/train.py`, `models/` and `scripts/train/yamls/`; Composer's `amp_` precisions
are autocast, and its FSDP gathers what `mixed_precision` names.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from vramlint.facts.setting import Known, Setting, Unknown
from vramlint.frontends import recipe
from vramlint.frontends.recipe import Fields, Recipe
from vramlint.frontends.world import sharded

if TYPE_CHECKING:
    from vramlint.frontends.base import Context
    from vramlint.source.config_file import ConfigFile

_PRECISIONS = {"amp_bf16": "bf16", "amp_fp16": "fp16", "fp32": "no", "amp_fp8": "bf16"}
_OPTIMIZERS = {
    "decoupled_adamw": "composer.optim.DecoupledAdamW",
    "decoupled_lionw": "llmfoundry.optim.DecoupledLionW",
    "adam": "torch.optim.Adam",
    "adamw": "torch.optim.AdamW",
    "sgd": "torch.optim.SGD",
}
_STRATEGIES = {"SHARD_GRAD_OP": "shard-grad-op", "HYBRID_SHARD": "hybrid", "NO_SHARD": "no-shard"}
_ATTENTION = {"flash": "flash_attention_2", "torch": "sdpa"}


def recipe_of(context: Context, file: ConfigFile) -> Recipe | None:
    """Return the run of an LLM Foundry YAML: a model by its name, a sequence length, and what is trained at once."""
    if not file.has("model.name", "max_seq_len", "train_loader") or not file.has("optimizer.name"):
        return None
    fields = Fields(context, file, "llmfoundry")
    return Recipe("composer", ("composer", "llm_foundry"), fields.begin("model.name"), _settings(fields))


def _settings(fields: Fields) -> dict[str, Setting[Any]]:
    sharding = _sharding(fields)
    return {
        "model": _model(fields),
        "task": fields.default("causal-lm", "a language model"),
        "param_dtype": fields.default("float32", "Composer loads float32"),
        "mixed_precision": _precision(fields),
        "micro_batch_size": _micro(fields),
        "sequence_length": recipe.length(fields.given("max_seq_len"), "max_seq_len"),
        "gradient_accumulation_steps": _accumulated(fields),
        "optimizer": _optimizer(fields),
        "gradient_checkpointing": _checkpointing(fields),
        "lora": _lora(fields),
        **_attention(fields),
        **({"sharding": sharding} if sharding is not None else {}),
    }


def _model(fields: Fields) -> Setting[Any]:
    name = fields.value("model.name")
    if name in {"hf_causal_lm", "hf_t5", "hf_prefix_lm"}:
        return recipe.model(fields, "model.pretrained_model_name_or_path")
    if name != "mpt_causal_lm":
        return Unknown(
            f"the model {name!r} is not read; name it with --set model=…", fields.origin("model.name")
        )
    keys = ("d_model", "n_heads", "n_layers", "vocab_size")
    config = {key: fields.value(f"model.{key}") for key in keys}
    if not all(isinstance(value, int) for value in config.values()):
        return Unknown(
            "the shape of the MPT is not given in full; name it with --set model=…",
            fields.origin("model.name"),
        )
    config["expansion_ratio"] = fields.value("model.expansion_ratio") or 4
    config["max_seq_len"] = fields.value("model.max_seq_len") or fields.value("max_seq_len")
    return Known(
        {"config": {"model_type": "mpt", "architectures": ["MptForCausalLM"], **config}},
        fields.origin("model.name"),
    )


def _precision(fields: Fields) -> Setting[Any]:
    given = fields.given("precision")
    if given is None:
        return fields.default("fp16", "precision: amp_fp16 on GPUs")
    short = _PRECISIONS.get(str(given.value))
    return (
        Known(short, given.origin)
        if short
        else Unknown(f"the precision {given.value!r} is not known", given.origin)
    )


def _micro(fields: Fields) -> Setting[Any]:
    given = fields.given("device_train_microbatch_size")
    if given is None or isinstance(given.value, int):
        return given or Unknown(
            "device_train_microbatch_size is not given; name it with --set micro_batch_size=…"
        )
    return Unknown(
        f"{given.origin.detail} is found in the run; name it with --set micro_batch_size=…", given.origin
    )


def _accumulated(fields: Fields) -> Setting[Any]:
    """Return the micro batches of a GPU's part of the global batch."""
    whole, micro, size = fields.given("global_train_batch_size"), _micro(fields), fields.context.world_size
    if whole is None or not isinstance(whole.value, int) or not isinstance(micro, Known) or size is None:
        why = "global_train_batch_size over the GPUs and the micro batch; say how many GPUs with --world-size"
        return Unknown(why, whole.origin if whole is not None else None)
    return Known(max(-(-whole.value // size.value // micro.value), 1), whole.origin)


def _optimizer(fields: Fields) -> Setting[Any]:
    given = fields.given("optimizer.name")
    if given is None:
        return Unknown("the recipe names no optimizer; name it with --set optimizer=…")
    return Known({"name": _OPTIMIZERS.get(str(given.value), str(given.value))}, given.origin)


def _checkpointing(fields: Fields) -> Setting[Any]:
    given = fields.given("fsdp_config.activation_checkpointing")
    if given is None:
        return fields.default(None, "fsdp_config.activation_checkpointing is off")
    reentrant = fields.value("fsdp_config.activation_checkpointing_reentrant") is not False
    return Known({"use_reentrant": reentrant} if given.value is True else None, given.origin)


def _attention(fields: Fields) -> dict[str, Setting[Any]]:
    given = fields.given("model.attn_config.attn_impl")
    known = None if given is None else _ATTENTION.get(str(given.value))
    if given is not None and known is not None:
        return {"attention": Known(known, given.origin)}
    flash = fields.on("model.use_flash_attention_2")
    return {} if flash is None else {"attention": Known("flash_attention_2", flash.origin)}


def _lora(fields: Fields) -> Setting[Any]:
    rank = fields.given("model.peft_config.r")
    if rank is None:
        return fields.default(None, "no peft_config")
    targets = fields.value("model.peft_config.target_modules")
    modules = targets if targets == "all-linear" else recipe.names_of_modules(targets)
    dropout = fields.value("model.peft_config.lora_dropout") or 0.0
    return Known(
        {"kind": "lora", "r": rank.value, "target_modules": modules, "dropout": dropout}, rank.origin
    )


def _sharding(fields: Fields) -> Setting[Any] | None:
    given = fields.given("fsdp_config")
    if given is None:
        return None
    strategy = fields.value("fsdp_config.sharding_strategy")
    known = _STRATEGIES.get(str(strategy))
    spec = {"kind": "fsdp", **({"strategy": known} if known else {})}
    return sharded(fields.context, spec, given.origin)
