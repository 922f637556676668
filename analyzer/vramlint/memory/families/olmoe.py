"""OLMoE: experts, and norms over all query and key heads (transformers 5.23, models/olmoe)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vramlint.memory.families import decoder
from vramlint.memory.families.decoder import build_decoder
from vramlint.memory.families.experts import MixtureBlock
from vramlint.memory.families.layers import split_heads
from vramlint.memory.modules import RMSNorm

if TYPE_CHECKING:
    from vramlint.memory.families.base import Config, Model
    from vramlint.memory.tape import Tensor

MODEL_TYPES = ("olmoe",)


class Attention(decoder.Attention):
    """Attention whose queries and keys are normalized over all heads."""

    def make_projections(self, config: Config) -> None:
        """Make the linear layers before and behind the attention, and the norms."""
        super().make_projections(config)
        self.q_norm = RMSNorm(self.queries)
        self.k_norm = RMSNorm(self.keys)

    def project(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return query, key and value of shape (B, heads, T, H)."""
        query = self.q_norm(self.q_proj(x))
        key = self.k_norm(self.k_proj(x))
        value = self.v_proj(x)
        return (
            split_heads(query, self.heads, self.head),
            split_heads(key, self.groups, self.head),
            split_heads(value, self.groups, self.head),
        )


class Block(MixtureBlock):
    """A router and its experts."""

    def __init__(self, config: Config) -> None:
        experts = config.size("E", "num_experts", "num_local_experts", default=64)
        super().__init__(config, experts, config.size("F", "intermediate_size"))


class DecoderLayer(decoder.DecoderLayer):
    """Pre-norm attention and experts."""

    attention = Attention
    feed_forward = Block


class Decoder(decoder.Decoder):
    """Embedding, layers and final norm."""

    layer = DecoderLayer


def build(config: Config, task: str) -> Model:
    """Build the model of a config for a task."""
    return build_decoder(config, task, Decoder)
