"""Hunyuan, dense: Llama with norms over each turned query and key head (models/hunyuan_v1_dense)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vramlint.memory.families import decoder
from vramlint.memory.families.decoder import Context, build_decoder
from vramlint.memory.modules import RMSNorm

if TYPE_CHECKING:
    from vramlint.memory.families.base import Config, Model
    from vramlint.memory.tape import Tensor

MODEL_TYPES = ("hunyuan_v1_dense",)


class Attention(decoder.Attention):
    """Attention that normalizes queries and keys after it has turned them."""

    def make_projections(self, config: Config) -> None:
        """Make the linear layers before and behind the attention, and the norms."""
        super().make_projections(config)
        self.query_layernorm = RMSNorm(self.head)
        self.key_layernorm = RMSNorm(self.head)

    def place(self, query: Tensor, key: Tensor, context: Context) -> tuple[Tensor, Tensor]:
        """Give query and key their positions."""
        query, key = super().place(query, key, context)
        return self.query_layernorm(query), self.key_layernorm(key)


class DecoderLayer(decoder.DecoderLayer):
    """Pre-norm attention and MLP."""

    attention = Attention


class Decoder(decoder.Decoder):
    """Embedding, layers and final norm."""

    layer = DecoderLayer


def build(config: Config, task: str) -> Model:
    """Build the model of a config for a task."""
    return build_decoder(config, task, Decoder)
