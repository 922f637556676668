"""Megatron-LM: the flags of `torchrun … pretrain_gpt.py --num-layers 24 --hidden-size 1024 …`.

Source: Megatron-LM, core 0.17 `megatron/training/arguments.py`, `training/config/`, `core/transformer/
transformer_config.py` and `core/optimizer/`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from vramlint.facts.setting import Known, OneOf, Setting, Unknown, alternatives
from vramlint.frontends.recipe import Fields, Recipe
from vramlint.frontends.world import sharded
from vramlint.knowledge import models

if TYPE_CHECKING:
    from vramlint.frontends.base import Context
    from vramlint.source.config_file import ConfigFile

_MARKS = ("num_layers", "hidden_size", "num_attention_heads", "seq_length")
_OPTIMIZERS = {"adam": "apex.optimizers.FusedAdam", "sgd": "torch.optim.SGD"}
_ATTENTION = {
    "flash": "flash_attention_2",
    "fused": "flash_attention_2",
    "unfused": "eager",
    "local": "eager",
}
_GPT2_WORDS = 50257
# Flags of models that no config of a family describes exactly.
_STRANGE = (
    "num_experts", "multi_latent_attention", "squared_relu", "apply_layernorm_1p", "spec", "hybrid_override_pattern",
    "add_qkv_bias", "qk_layernorm", "mtp_num_layers", "rotary_percent",
)  # fmt: skip
_PARALLEL = {
    "tensor_model_parallel_size": "tensor_parallel",
    "pipeline_model_parallel_size": "pipeline_parallel",
    "context_parallel_size": "context_parallel",
    "expert_model_parallel_size": "expert_parallel",
}


def command_of(context: Context, file: ConfigFile) -> Recipe | None:
    """Return the run of a command with Megatron's flags of a model, whatever script it starts."""
    if not file.has(*_MARKS) or not (file.has("micro_batch_size") or file.has("global_batch_size")):
        return None
    fields = Fields(context, file, "megatron")
    # A fork's script declares the same names; only what the command says makes a run.
    if any(
        (given := fields.given(name)) is None or given.origin.kind == "argument-default" for name in _MARKS
    ):
        return None
    return Recipe("megatron", ("megatron",), fields.begin("num_layers"), _settings(fields))


def _settings(fields: Fields) -> dict[str, Setting[Any]]:
    sharding = _sharding(fields)
    return {
        "model": _model(fields),
        "task": fields.default("causal-lm", "pretraining"),
        **_precision(fields),
        "micro_batch_size": fields.given("micro_batch_size")
        or Unknown("--micro-batch-size is not given; name it with --launch or --set micro_batch_size=…"),
        "sequence_length": fields.given("seq_length") or Unknown("--seq-length is not given"),
        "gradient_accumulation_steps": _accumulated(fields, sharding),
        "optimizer": _optimizer(fields),
        "gradient_checkpointing": _recomputed(fields),
        "attention": _attention(fields),
        "lora": fields.default(None, "Megatron-LM trains the whole model"),
        "quantization": fields.default(None, "Megatron-LM does not quantize weights"),
        "sharding": sharding,
    }


def _precision(fields: Fields) -> dict[str, Setting[Any]]:
    """Return the dtype of the weights; the optimizer keeps float32 copies of half ones."""
    for flag, dtype in (("bf16", "bfloat16"), ("fp16", "float16")):
        on = fields.on(flag)
        if on is not None:
            fp8 = fields.given("fp8_format")
            more = {"fp8": Known(str(fp8.value), fp8.origin)} if fp8 is not None else {}
            return {"param_dtype": Known(dtype, on.origin), "mixed_precision": Known(flag, on.origin), **more}
    return {"param_dtype": fields.default("float32", "neither --bf16 nor --fp16"),
            "mixed_precision": fields.default("no", "neither --bf16 nor --fp16")}  # fmt: skip


def _optimizer(fields: Fields) -> Setting[Any]:
    given = fields.given("optimizer")
    if given is None:
        return fields.default({"name": _OPTIMIZERS["adam"]}, "--optimizer adam")
    return Known({"name": _OPTIMIZERS.get(given.value, given.value)}, given.origin)


def _recomputed(fields: Fields) -> Setting[Any]:
    given = fields.given("recompute_granularity")
    selective = fields.on("recompute_activations")
    if given is not None and given.value == "full":
        return Known({"use_reentrant": True}, given.origin)
    found = given if given is not None else selective
    if found is not None:
        return Known({"selective": "attention"}, found.origin)
    return fields.default(None, "nothing is recomputed")


def _attention(fields: Fields) -> Setting[Any]:
    given = fields.given("attention_backend")
    flash = fields.on("use_flash_attn")
    if flash is not None:
        return Known("flash_attention_2", flash.origin)
    if given is None or given.value not in _ATTENTION:
        return fields.default("flash_attention_2", "Transformer Engine chooses a flash or fused kernel")
    return Known(_ATTENTION[given.value], given.origin)


def _sharding(fields: Fields) -> Setting[Any]:
    """Return how states and the model are divided; `--use-distributed-optimizer` is ZeRO's first stage."""
    spec: dict[str, Any] = {"kind": "zero1" if fields.on("use_distributed_optimizer") else "ddp"}
    if fields.on("use_torch_fsdp2") or fields.on("use_megatron_fsdp"):
        spec["kind"] = "fsdp2"
    parts = {part: value for flag, part in _PARALLEL.items() if isinstance(value := fields.value(flag), int)}
    spec |= {part: value for part, value in parts.items() if value > 1}
    spec |= {"sequence_parallel": True} if fields.on("sequence_parallel") else {}
    origin = next(
        (one.origin for flag in _PARALLEL if (one := fields.given(flag)) is not None), fields.origin("bf16")
    )
    least = _model_parallel(spec)
    found = sharded(fields.context, spec, origin)
    if isinstance(found, OneOf):
        fitting = tuple(one for one in found.alternatives if one.value["world_size"] % least == 0)
        found = OneOf(fitting, found.reason) if fitting else Known({**spec, "world_size": least}, origin)
    if isinstance(found, Known) and found.value["world_size"] < least:
        # Such a launch is one node's share of a larger one.
        return Known({**found.value, "world_size": least}, origin)
    if isinstance(found, Known) and found.value["world_size"] == 1:
        return Known(None, found.origin)
    return found


def _model_parallel(spec: dict[str, Any]) -> int:
    """Return over how many GPUs one copy of the model is divided."""
    return int(
        spec.get("tensor_parallel", 1) * spec.get("pipeline_parallel", 1) * spec.get("context_parallel", 1)
    )


def _accumulated(fields: Fields, sharding: Setting[Any]) -> Setting[Any]:
    """Return the micro batches of a step: the global batch over the micro batch and the copies of the model."""
    micro, whole = fields.given("micro_batch_size"), fields.given("global_batch_size")
    if whole is None:
        return fields.default(1, "--global-batch-size is not given")
    if micro is None or not all(isinstance(one.value, int) and one.value > 0 for one in (micro, whole)):
        return Unknown(
            "the global batch over the micro batch; name it with --set gradient_accumulation_steps=…"
        )
    why = f"{whole.origin.detail} over {micro.origin.detail} on every copy of the model"
    size = fields.context.world_size
    spec = alternatives(sharding)[0] or {"world_size": 1}
    if not isinstance(sharding, Known) or (size is not None and size.value < spec["world_size"]):
        return Unknown(f"{why}; say how many GPUs there are with --world-size", whole.origin)
    copies = max(spec["world_size"] // _model_parallel(spec), 1)
    return Known(max(whole.value // micro.value // copies, 1), whole.origin)


def _model(fields: Fields) -> Setting[Any]:
    """Return the model as the config of a family with the same modules, where there is one."""
    given = fields.given("num_layers")
    strange = next((name for name in _STRANGE if fields.given(name) is not None), None)
    words = _vocabulary(fields)
    gated, gpt = fields.on("swiglu"), not any(fields.given(name) for name in ("normalization", "swiglu"))
    said = f"{fields.value('num_layers')} layers of {fields.value('hidden_size')}"
    if strange is not None:
        flag = f"--{strange.replace('_', '-')}"
        why = f"a model of {said} with {flag} is not read; name it with --set model=…"
        return Unknown(why, given.origin if given else None)
    if words is None:
        why = f"a model of {said}; its vocabulary is the tokenizer's: name it with --set model=…, or --vocab-size"
        return Unknown(why, given.origin if given else None)
    config = _gpt2(fields, words) if gpt else _llama(fields, words) if gated else None
    if config is None or given is None:
        return Unknown(f"a model of {said} that is neither GPT-2's nor Llama's; name it with --set model=…")
    return Known({"config": config}, given.origin)


def _vocabulary(fields: Fields) -> int | None:
    """Return the words of the embedding, filled up so that every tensor-parallel part is equal."""
    size, tokenizer = fields.value("vocab_size"), fields.value("tokenizer_model")
    kind = fields.value("tokenizer_type") or ("GPT2BPETokenizer" if fields.given("merge_file") else None)
    if kind == "GPT2BPETokenizer":
        size = _GPT2_WORDS
    elif not isinstance(size, int):
        record = models.find(tokenizer) if isinstance(tokenizer, str) else None
        size = record.config.get("vocab_size") if record is not None else None
    if not isinstance(size, int):
        return None
    whole = (fields.value("make_vocab_size_divisible_by") or 128) * (
        fields.value("tensor_model_parallel_size") or 1
    )
    return -(-size // whole) * whole


def _gpt2(fields: Fields, words: int) -> dict[str, Any] | None:
    """Return GPT-2's config: learned positions, biases, GELU, tied embeddings, as Megatron's own defaults are."""
    hidden = fields.value("hidden_size")
    position = fields.value("position_embedding_type")
    other = (
        "untie_embeddings_and_output_weights",
        "disable_bias_linear",
        "group_query_attention",
        "kv_channels",
    )
    if position not in {None, "learned_absolute"} or any(fields.given(name) for name in other):
        return None
    return {
        "model_type": "gpt2", "architectures": ["GPT2LMHeadModel"], "n_layer": fields.value("num_layers"),
        "n_embd": hidden, "n_head": fields.value("num_attention_heads"), "vocab_size": words,
        "n_inner": fields.value("ffn_hidden_size") or 4 * hidden,
        "n_positions": fields.value("max_position_embeddings") or fields.value("seq_length"),
        "attn_pdrop": _or(fields, "attention_dropout", 0.1), "resid_pdrop": _or(fields, "hidden_dropout", 0.1),
        "embd_pdrop": _or(fields, "hidden_dropout", 0.1),
    }  # fmt: skip


def _llama(fields: Fields, words: int) -> dict[str, Any] | None:
    """Return Llama's config: RMSNorm, rotary positions, a gated MLP, no biases."""
    if fields.value("normalization") != "RMSNorm" or fields.on("disable_bias_linear") is None:
        return None
    rotary = fields.on("use_rotary_position_embeddings") or fields.value("position_embedding_type") == "rope"
    hidden, heads = fields.value("hidden_size"), fields.value("num_attention_heads")
    if not rotary or fields.given("ffn_hidden_size") is None:
        return None
    return {
        "model_type": "llama", "architectures": ["LlamaForCausalLM"], "num_hidden_layers": fields.value("num_layers"),
        "hidden_size": hidden, "num_attention_heads": heads, "intermediate_size": fields.value("ffn_hidden_size"),
        "num_key_value_heads": fields.value("num_query_groups") if fields.on("group_query_attention") else heads,
        "head_dim": fields.value("kv_channels") or hidden // heads, "vocab_size": words,
        "max_position_embeddings": fields.value("max_position_embeddings") or fields.value("seq_length"),
        "tie_word_embeddings": fields.on("untie_embeddings_and_output_weights") is None,
    }  # fmt: skip


def _or(fields: Fields, name: str, default: float) -> Any:
    given = fields.given(name)
    return default if given is None else given.value
