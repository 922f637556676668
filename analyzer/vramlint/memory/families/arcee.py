"""Arcee AFM: Llama with a plain MLP of squared ReLU (transformers 5.23, models/arcee)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vramlint.memory.families import decoder
from vramlint.memory.families.decoder import PlainMLP, build_decoder

if TYPE_CHECKING:
    from vramlint.memory.families.base import Config, Model

MODEL_TYPES = ("arcee",)


class MLP(PlainMLP):
    """Two linear layers."""

    names = ("up_proj", "down_proj")

    def __init__(self, config: Config) -> None:
        width, inner = config.size("D", "hidden_size"), config.size("F", "intermediate_size")
        bias = config.get("mlp_bias", default=False)
        super().__init__(width, inner, config.get("hidden_act", "relu2"), bias=bias)


class DecoderLayer(decoder.DecoderLayer):
    """Pre-norm attention and MLP."""

    feed_forward = MLP


class Decoder(decoder.Decoder):
    """Embedding, layers and final norm."""

    layer = DecoderLayer


def build(config: Config, task: str) -> Model:
    """Build the model of a config for a task."""
    return build_decoder(config, task, Decoder)
