"""Qwen3: Llama's layer with a norm over each query and key head (transformers 5.23, models/qwen3)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vramlint.memory.families import decoder, llama
from vramlint.memory.families.decoder import FULL, build_decoder, head_views
from vramlint.memory.modules import RMSNorm

if TYPE_CHECKING:
    from vramlint.memory.families.base import Config, Model
    from vramlint.memory.tape import Tensor

MODEL_TYPES = ("qwen3",)


class Attention(decoder.Attention):
    """Attention that normalizes queries and keys before it turns them."""

    def __init__(self, config: Config, kind: str = FULL) -> None:
        super().__init__(config, kind)
        self.q_norm = RMSNorm(self.head)
        self.k_norm = RMSNorm(self.head)

    def project(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return query, key and value of shape (B, heads, T, H)."""
        query = self.q_norm(head_views(self.q_proj(x), self.heads, self.head)).transposed(1, 2)
        key = self.k_norm(head_views(self.k_proj(x), self.groups, self.head)).transposed(1, 2)
        value = head_views(self.v_proj(x), self.groups, self.head).transposed(1, 2)
        return query, key, value


class DecoderLayer(decoder.DecoderLayer):
    """Pre-norm attention and MLP."""

    attention = Attention


class Decoder(llama.Decoder):
    """Embedding, layers and final norm."""

    layer = DecoderLayer


def build(config: Config, task: str) -> Model:
    """Build the model of a config for a task."""
    return build_decoder(config, task, Decoder)
