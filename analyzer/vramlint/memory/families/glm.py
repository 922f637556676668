"""GLM 4: Llama with a fused MLP, partly turned heads and, from 0414 on, norms around each block.

transformers 5.23, models/glm, glm4; ChatGLM 3 and GLM-4-9B-chat are converted to the former.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from vramlint.memory.families import decoder
from vramlint.memory.families.decoder import FULL, Context, build_decoder
from vramlint.memory.families.layers import repeated_pairs, rotate_part
from vramlint.memory.families.phi3 import FusedMLP
from vramlint.memory.modules import RMSNorm

if TYPE_CHECKING:
    from vramlint.memory.families.base import Config, Model
    from vramlint.memory.tape import Tensor

MODEL_TYPES = ("glm", "glm4")


class Attention(decoder.Attention):
    """Attention that turns the first part of each head, neighbours in pairs."""

    def biases(self, config: Config) -> tuple[bool, bool]:
        """Return whether the query, key and value projections, and the output projection, have a bias."""
        return config.get("attention_bias", default=True), False

    def place(self, query: Tensor, key: Tensor, context: Context) -> tuple[Tensor, Tensor]:
        """Turn the first part of each head."""
        cosine, sine = map(repeated_pairs, context.positions[self.kind])
        return rotate_part(query, cosine, sine), rotate_part(key, cosine, sine)


class DecoderLayer(decoder.DecoderLayer):
    """Pre-norm attention and MLP."""

    attention = Attention
    feed_forward = FusedMLP


class SandwichLayer(DecoderLayer):
    """GLM-4-0414's layer: a norm before and behind each block."""

    def __init__(self, config: Config, kind: str = FULL) -> None:
        super().__init__(config, kind)
        width = config.size("D", "hidden_size")
        self.post_self_attn_layernorm = RMSNorm(width)
        self.post_mlp_layernorm = RMSNorm(width)

    def forward(self, hidden: Tensor, context: Context) -> Tensor:
        """(B, T, D) to (B, T, D)."""
        residual = hidden
        hidden = self.input_layernorm(hidden)
        hidden = self.self_attn(hidden, context)
        hidden = self.post_self_attn_layernorm(hidden)
        hidden = residual + hidden
        residual = hidden
        hidden = self.post_attention_layernorm(hidden)
        hidden = self.mlp(hidden)
        hidden = self.post_mlp_layernorm(hidden)
        return residual + hidden


class Decoder(decoder.Decoder):
    """Embedding, layers and final norm."""

    layer = DecoderLayer
    rotary_share = 0.5


class SandwichDecoder(Decoder):
    """GLM-4-0414's decoder."""

    layer = SandwichLayer


def build(config: Config, task: str) -> Model:
    """Build the model of a config for a task."""
    body = SandwichDecoder if config.get("model_type") == "glm4" else Decoder
    return build_decoder(config, task, body)
