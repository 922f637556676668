"""Granite: Llama with scaled embeddings, residual branches and logits (transformers 5.23, models/granite)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from vramlint.memory.families import decoder
from vramlint.memory.families.decoder import Context, Head, build_decoder, scaled

if TYPE_CHECKING:
    from vramlint.memory.families.base import Config, Model
    from vramlint.memory.tape import Tensor

MODEL_TYPES = ("granite",)


class DecoderLayer(decoder.DecoderLayer):
    """Pre-norm attention and MLP, whose outputs are scaled."""

    def forward(self, hidden: Tensor, context: Context) -> Tensor:
        """(B, T, D) to (B, T, D)."""
        residual = hidden
        hidden = self.input_layernorm(hidden)
        hidden = self.self_attn(hidden, context)
        hidden = residual + hidden * 1.0
        residual = hidden
        hidden = self.post_attention_layernorm(hidden)
        hidden = self.mlp(hidden)
        return residual + hidden * 1.0


class Decoder(decoder.Decoder):
    """Scaled embedding, layers and final norm."""

    layer: Any = DecoderLayer

    def embed(self, ids: Tensor) -> Tensor:
        """(B, T) token ids to (B, T, D)."""
        return super().embed(ids) * 1.0


def build(config: Config, task: str) -> Model:
    """Build the model of a config for a task."""
    return build_decoder(config, task, Decoder, Head(adjust=scaled))
