"""Qwen 1.5, 2 and 3 with experts (transformers 5.23, models/qwen2_moe, qwen3_moe)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from vramlint.memory.families import decoder, llama, qwen3
from vramlint.memory.families.decoder import FULL, build_decoder
from vramlint.memory.families.experts import GatedShareBlock, MixtureBlock

if TYPE_CHECKING:
    from vramlint.memory.families.base import Config, Model
    from vramlint.memory.modules import Module

MODEL_TYPES = ("qwen2_moe", "qwen3_moe")

DENSE = "dense "


class BiasedAttention(decoder.Attention):
    """Attention with biases before it."""

    def biases(self, config: Config) -> tuple[bool, bool]:
        """Return whether the query, key and value projections, and the output projection, have a bias."""
        return config.get("qkv_bias", default=True), False


def _experts(config: Config) -> Module:
    count = config.size("E", "num_experts", "num_local_experts", default=60)
    inner = config.size("F", "moe_intermediate_size", default=768)
    if config.get("model_type") == "qwen3_moe":
        return MixtureBlock(config, count, inner)
    return GatedShareBlock(
        config, count, inner, config.size("S", "shared_expert_intermediate_size", default=5632)
    )


class DecoderLayer(decoder.DecoderLayer):
    """Pre-norm attention, and an MLP or experts."""

    def __init__(self, config: Config, kind: str = FULL) -> None:
        super().__init__(config, kind.removeprefix(DENSE))
        if not kind.startswith(DENSE):
            self.mlp = _experts(config)

    @staticmethod
    def attention(config: Config, kind: str) -> Module:
        """Return the attention."""
        own = qwen3.Attention if config.get("model_type") == "qwen3_moe" else BiasedAttention
        return own(config, kind)


class Decoder(llama.Decoder):
    """Embedding, layers and final norm."""

    layer: Any = DecoderLayer

    def kinds(self, config: Config, count: int) -> list[str]:
        """Return the kind of attention of each layer, marked where it has one MLP."""
        dense, step = config.get("mlp_only_layers", ()), config.get("decoder_sparse_step", 1)
        return [
            kind if index not in dense and (index + 1) % step == 0 else DENSE + kind
            for index, kind in enumerate(super().kinds(config, count))
        ]


def build(config: Config, task: str) -> Model:
    """Build the model of a config for a task."""
    return build_decoder(config, task, Decoder)
