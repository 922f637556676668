"""Which modules PEFT adapts when a config names none (peft 0.21.2, utils/constants.py)."""

from __future__ import annotations

from vramlint.memory.errors import CannotEstimate

_QUERY_VALUE = ("q_proj", "v_proj")
_FUSED = ("query_key_value",)

_LORA: dict[str, tuple[str, ...]] = {
    **dict.fromkeys(("t5", "mt5"), ("q", "v")),
    **dict.fromkeys(
        (
            *("bart", "opt", "gptj", "gpt_neo", "llama", "llama4", "mistral", "mixtral", "stablelm"),
            *("gemma", "gemma2", "gemma3_text", "qwen2", "qwen3"),
        ),
        _QUERY_VALUE,
    ),
    **dict.fromkeys(("gpt2", "gpt_bigcode"), ("c_attn",)),
    **dict.fromkeys(("bloom", "gpt_neox", "chatglm", "falcon", "RefinedWeb", "RefinedWebModel"), _FUSED),
    **dict.fromkeys(("bert", "roberta", "xlm-roberta", "electra", "layoutlm"), ("query", "value")),
    "deberta-v2": ("query_proj", "value_proj"),
    "deberta": ("in_proj",),
    "mpt": ("Wqkv",),
    "codegen": ("qkv_proj",),
    "phi": ("q_proj", "v_proj", "fc1", "fc2"),
    "nemotron_h": ("q_proj", "k_proj", "v_proj", "o_proj"),
}

_IA3: dict[str, tuple[str, ...]] = {
    **dict.fromkeys(("llama", "mistral"), ("k_proj", "v_proj", "down_proj")),
    **dict.fromkeys(
        ("gemma", "gemma2", "gemma3_text", "qwen2", "qwen3", "llama4"), ("q_proj", "v_proj", "down_proj")
    ),
    "t5": ("k", "v", "wo"),
    "mt5": ("k", "v", "wi_1"),
    "gpt2": ("c_attn", "mlp.c_proj"),
    "gpt_bigcode": ("c_attn", "mlp.c_proj"),
    "bloom": ("query_key_value", "mlp.dense_4h_to_h"),
    "roberta": ("key", "value", "output.dense"),
    "bert": ("key", "value", "output.dense"),
    "deberta-v2": ("key_proj", "value_proj", "output.dense"),
    "opt": ("q_proj", "k_proj", "fc2"),
    "gptj": ("q_proj", "v_proj", "fc_out"),
    "gpt_neox": ("query_key_value", "dense_4h_to_h"),
    "gpt_neo": ("q_proj", "v_proj", "c_proj"),
    "bart": ("q_proj", "v_proj", "fc2"),
    "mixtral": ("k_proj", "v_proj", "w2"),
    "falcon": ("query_key_value", "dense_4h_to_h"),
    "phi": ("q_proj", "v_proj", "fc2"),
}

_PRE_AND_POST = ("input_layernorm", "post_attention_layernorm")
_NORMS: dict[str, tuple[str, ...]] = {
    **dict.fromkeys(("llama", "mistral", "gemma"), (*_PRE_AND_POST, "norm")),
    **dict.fromkeys(("bloom", "falcon"), (*_PRE_AND_POST, "ln_f")),
    **dict.fromkeys(
        ("gemma2", "gemma3_text"),
        (*_PRE_AND_POST, "pre_feedforward_layernorm", "post_feedforward_layernorm", "norm"),
    ),
    **dict.fromkeys(("t5", "mt5"), ("layer_norm", "final_layer_norm")),
    **dict.fromkeys(("qwen2", "qwen3"), ("post_attention_layernorm",)),
    "bart": ("self_attn_layer_norm", "encoder_attn_layer_norm", "final_layer_norm"),
    "gpt2": ("ln_1", "ln_2", "ln_f"),
    "gptj": ("ln_1", "ln_f"),
    "phi": ("input_layernorm", "final_layernorm"),
}

# AdaLoRA's own list where it differs from LoRA's
_ADALORA: dict[str, tuple[str, ...]] = {
    "t5": ("q", "k", "v", "o", "wi", "wo"),
    "mt5": ("q", "k", "v", "o", "wi_0", "wi_1", "wo"),
    "bart": ("q_proj", "k_proj", "v_proj", "out_proj", "fc1", "fc2"),
    "opt": ("q_proj", "k_proj", "v_proj", "out_proj", "fc1", "fc2"),
    "roberta": ("query", "key", "value", "dense"),
    "deberta-v2": ("query_proj", "key_proj", "value_proj", "dense"),
}

_FEEDFORWARD = frozenset(
    {
        "wo",
        "mlp.c_proj",
        "mlp.dense_4h_to_h",
        "dense_4h_to_h",
        "output.dense",
        "fc2",
        "fc_out",
        "c_proj",
        "down_proj",
        "w2",
    }
)


def default_targets(model_type: str, kind: str) -> tuple[str, ...]:
    """Return PEFT's own choice for a model type.

    Raises:
        CannotEstimate: where PEFT has none and would stop with an error too.
    """
    targets = {"ia3": _IA3, "ln-tuning": _NORMS, "adalora": {**_LORA, **_ADALORA}}.get(kind, _LORA).get(
        model_type
    )
    if targets is None:
        raise CannotEstimate(f"PEFT has no default target_modules for {model_type!r}; name them")
    return targets


def feedforward_targets(model_type: str) -> tuple[str, ...]:
    """Return those of IA³'s default targets whose input is scaled instead of their output."""
    return tuple(target for target in _IA3.get(model_type, ()) if target in _FEEDFORWARD)
