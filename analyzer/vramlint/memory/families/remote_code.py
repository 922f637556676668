"""Models whose code lies on the hub, as the transformers models that hold the same tensors.

Their configs are put into those models' terms; what their own code saves for backward may differ a little.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from vramlint.memory.families import deepseek, glm, llama
from vramlint.memory.families.base import Config, Model

MODEL_TYPES = (
    "baichuan",
    "chatglm",
    "exaone",
    "internlm",
    "internlm2",
    "internlm3",
    "kimi_k2",
    "mimo",
    "minicpm",
    "qwen",
    "yi",
)


def _same(values: Mapping[str, Any]) -> dict[str, Any]:  # noqa: ARG001  as its siblings
    return {}


def _internlm(values: Mapping[str, Any]) -> dict[str, Any]:
    return {"attention_bias": values.get("bias", True)}


def _exaone(values: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "num_hidden_layers": values.get("num_layers", values.get("num_hidden_layers")),
        "hidden_act": values.get("activation_function", "silu"),
    }


def _qwen(values: Mapping[str, Any]) -> dict[str, Any]:
    return {"intermediate_size": values["intermediate_size"] // 2}


def _chatglm(values: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "num_hidden_layers": values["num_layers"],
        "num_key_value_heads": values.get("multi_query_group_num"),
        "intermediate_size": values["ffn_hidden_size"],
        "vocab_size": values["padded_vocab_size"],
        "attention_bias": values.get("add_qkv_bias", True),
        "head_dim": values.get("kv_channels"),
    }


_Translation = tuple[str, Callable[[Config, str], Model], Callable[[Mapping[str, Any]], dict[str, Any]]]
_TRANSLATIONS: Mapping[str, _Translation] = {
    "chatglm": ("glm", glm.build, _chatglm),
    "exaone": ("llama", llama.build, _exaone),
    "internlm": ("llama", llama.build, _internlm),
    "kimi_k2": ("deepseek_v3", deepseek.build, _same),
    "mimo": ("qwen2", llama.build, _same),
    "qwen": ("qwen2", llama.build, _qwen),
}


def build(config: Config, task: str) -> Model:
    """Build the model of a config for a task."""
    name = str(config.get("model_type"))
    model_type, build_model, translate = _TRANSLATIONS.get(name, ("llama", llama.build, _same))
    return build_model(Config({**config.values, **translate(config.values), "model_type": model_type}), task)
