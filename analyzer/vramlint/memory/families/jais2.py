"""Jais 2: Llama with LayerNorm and an MLP of squared ReLUs (transformers 5.23, models/jais2)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vramlint.memory.families import arcee, decoder
from vramlint.memory.families.decoder import build_decoder
from vramlint.memory.modules import LayerNorm

if TYPE_CHECKING:
    from vramlint.memory.families.base import Config, Model

MODEL_TYPES = ("jais2",)

_DEFAULTS = {"attention_bias": True, "mlp_bias": True, "hidden_act": "relu2"}


class DecoderLayer(decoder.DecoderLayer):
    """Pre-norm attention and MLP."""

    feed_forward = arcee.MLP
    norm = LayerNorm


class Decoder(decoder.Decoder):
    """Embedding, layers and final norm."""

    layer = DecoderLayer
    norm_type = LayerNorm


def build(config: Config, task: str) -> Model:
    """Build the model of a config for a task."""
    return build_decoder(config.completed(_DEFAULTS), task, Decoder)
