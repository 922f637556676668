"""GPT-NeoX: the YAML files of `python deepy.py train.py -d configs 125M.yml local_setup.yml`.

Source: gpt-neox at commit 9a1a62f, `megatron/neox_arguments/`; keys may be written with hyphens or underscores.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from vramlint.facts.setting import Known, Setting, Unknown
from vramlint.frontends.recipe import Fields, Recipe
from vramlint.frontends.world import sharded

if TYPE_CHECKING:
    from vramlint.frontends.base import Context
    from vramlint.source.config_file import ConfigFile

_MARKS = ("num_layers", "hidden_size", "num_attention_heads", "seq_length")
_OPTIMIZERS = {"adam": "apex.optimizers.FusedAdam", "onebitadam": "OneBitAdam", "sgd": "torch.optim.SGD",
               "cpu_adam": "deepspeed.ops.adam.DeepSpeedCPUAdam", "lion": "lion_pytorch.Lion"}  # fmt: skip
_GPT2_WORDS = 50257
# Shapes that differ from GPT-NeoX's.
_STRANGE = ("moe_num_experts", "num_kv_heads", "intermediate_size", "num_experts")


def recipe_of(context: Context, file: ConfigFile) -> Recipe | None:
    """Return the run of a GPT-NeoX YAML: a shape, and DeepSpeed's batch of a GPU."""
    fields = Fields(context, file, "gpt_neox")
    if any(fields.given(*_spelt(name)) is None for name in _MARKS):
        return None
    if not any(
        file.has(name)
        for name in ("pipe_parallel_size", "pipe-parallel-size", "train_micro_batch_size_per_gpu")
    ):
        return None
    return Recipe("deepspeed", ("gpt_neox", "deepspeed"), fields.begin("num_layers"), _settings(fields))


def _spelt(name: str) -> tuple[str, str]:
    return name, name.replace("_", "-")


def _given(fields: Fields, name: str) -> Known[Any] | None:
    return fields.given(*_spelt(name))


def _value(fields: Fields, name: str) -> Any:
    given = _given(fields, name)
    return None if given is None else given.value


def _settings(fields: Fields) -> dict[str, Setting[Any]]:
    missing = "{0} is not given; name it with --set {1}=…"
    micro = _given(fields, "train_micro_batch_size_per_gpu")
    return {
        "model": _model(fields),
        "task": fields.default("causal-lm", "pretraining"),
        **_precision(fields),
        "micro_batch_size": micro
        or Unknown(missing.format("train_micro_batch_size_per_gpu", "micro_batch_size")),
        "sequence_length": _given(fields, "seq_length")
        or Unknown(missing.format("seq_length", "sequence_length")),
        "gradient_accumulation_steps": _given(fields, "gradient_accumulation_steps")
        or fields.default(1, "gradient_accumulation_steps: 1"),
        "optimizer": _optimizer(fields),
        "gradient_checkpointing": _checkpointing(fields),
        "attention": _attention(fields),
        "sharding": _sharding(fields),
    }


def _precision(fields: Fields) -> dict[str, Setting[Any]]:
    for name, dtype in (("fp16", "float16"), ("bf16", "bfloat16")):
        on = fields.given(f"{name}.enabled")
        if on is not None and on.value is True:
            return {"param_dtype": Known(dtype, on.origin), "mixed_precision": Known(name, on.origin)}
    named = _given(fields, "precision")
    if named is not None and named.value in {"fp16", "bfloat16"}:
        short = "fp16" if named.value == "fp16" else "bf16"
        dtype = "float16" if short == "fp16" else "bfloat16"
        return {"param_dtype": Known(dtype, named.origin), "mixed_precision": Known(short, named.origin)}
    return {"param_dtype": fields.default("float32", "neither fp16 nor bf16 is enabled"),
            "mixed_precision": fields.default("no", "neither fp16 nor bf16 is enabled")}  # fmt: skip


def _optimizer(fields: Fields) -> Setting[Any]:
    given = fields.given("optimizer.type")
    if given is None:
        return fields.default({"name": _OPTIMIZERS["adam"]}, "optimizer.type: Adam")
    return Known({"name": _OPTIMIZERS.get(str(given.value).lower(), str(given.value))}, given.origin)


def _checkpointing(fields: Fields) -> Setting[Any]:
    given = _given(fields, "checkpoint_activations")
    if given is None:
        return fields.default(None, "checkpoint_activations is off")
    return Known({"use_reentrant": True} if given.value is True else None, given.origin)


def _attention(fields: Fields) -> Setting[Any]:
    given = _given(fields, "attention_config")
    if given is not None:
        return Known("flash_attention_2" if "flash" in str(given.value) else "eager", given.origin)
    return fields.default("eager", "attention_config: global")


def _sharding(fields: Fields) -> Setting[Any]:
    stage = fields.given("zero_optimization.stage", "zero-optimization.stage")
    number = stage.value if stage is not None else 0
    spec: dict[str, Any] = {"kind": f"zero{number}" if number in {1, 2, 3} else "ddp"}
    for name, part in (
        ("model_parallel_size", "tensor_parallel"),
        ("pipe_parallel_size", "pipeline_parallel"),
    ):
        size = _value(fields, name)
        spec |= {part: size} if isinstance(size, int) and size > 1 else {}
    return sharded(fields.context, spec, stage.origin if stage is not None else fields.origin("num_layers"))


def _model(fields: Fields) -> Setting[Any]:
    """Return GPT-NeoX's config where the shape is its own: rotary positions, LayerNorm, biases, untied embeddings."""
    layers = _given(fields, "num_layers")
    hidden, words = _value(fields, "hidden_size"), _words(fields)
    said = f"a GPT of {_value(fields, 'num_layers')} layers of {hidden}"
    unlike = _value(fields, "norm") not in {None, "layernorm"} or _value(fields, "pos_emb") != "rotary"
    unlike = (
        unlike
        or _value(fields, "no_weight_tying") is not True
        or any(_given(fields, name) for name in _STRANGE)
    )
    if words is None:
        why = f"{said}, whose vocabulary its tokenizer has; name it with --set model=…"
        return Unknown(why, layers.origin if layers else None)
    if unlike or layers is None or str(_value(fields, "mlp_type")) in {"llama", "swiglu"}:
        return Unknown(
            f"{said} that is not GPT-NeoX's own; name it with --set model=…",
            layers.origin if layers else None,
        )
    config = {
        "model_type": "gpt_neox", "architectures": ["GPTNeoXForCausalLM"], "num_hidden_layers": layers.value,
        "hidden_size": hidden, "num_attention_heads": _value(fields, "num_attention_heads"),
        "intermediate_size": 4 * hidden, "vocab_size": words, "tie_word_embeddings": False,
        "max_position_embeddings": _value(fields, "max_position_embeddings") or _value(fields, "seq_length"),
        "rotary_pct": _value(fields, "rotary_pct") or 1.0,
        "use_parallel_residual": _value(fields, "gpt_j_residual") is True,
        "attention_dropout": _value(fields, "attention_dropout") or 0.0,
        "hidden_dropout": _value(fields, "hidden_dropout") or 0.0,
    }  # fmt: skip
    return Known({"config": config}, layers.origin)


def _words(fields: Fields) -> int | None:
    """Return the words of the embedding: GPT-2's tokenizer is the default, filled up for every parallel part."""
    kind = _value(fields, "tokenizer_type")
    size = _GPT2_WORDS if kind in {None, "GPT2BPETokenizer"} else _value(fields, "vocab_size")
    if not isinstance(size, int):
        # The tokenizer of GPT-NeoX-20B, which HFTokenizer reads from its file, has as many words.
        size = 50277 if kind == "HFTokenizer" and "20B" in str(_value(fields, "vocab_file")) else None
    if size is None:
        return None
    whole = (_value(fields, "make_vocab_size_divisible_by") or 128) * (
        _value(fields, "model_parallel_size") or 1
    )
    return int(-(-size // whole) * whole)
