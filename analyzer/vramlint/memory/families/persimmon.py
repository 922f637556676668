"""Persimmon: packed projections, normed heads turned in part, squared ReLUs (transformers 5.23, models/persimmon)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vramlint.memory.families import decoder
from vramlint.memory.families.decoder import FULL, Context, PlainMLP, build_decoder
from vramlint.memory.families.layers import rotate_part
from vramlint.memory.modules import Dropout, LayerNorm, Linear
from vramlint.memory.operators.elementwise import select
from vramlint.memory.tape import Dim, Tensor

if TYPE_CHECKING:
    from vramlint.memory.families.base import Config, Model

MODEL_TYPES = ("persimmon",)


class Attention(decoder.Attention):
    """Multi-head attention; query, key and value come out of one layer, head by head."""

    output = "dense"

    def make_projections(self, config: Config) -> None:
        """Make the linear layers before and behind the attention, and the norms of single heads."""
        self.query_key_value = Linear(self.width, Dim(3 * self.width, "3D"))
        self.dense = Linear(self.queries, self.width)
        if config.get("qk_layernorm", default=True):
            self.q_layernorm = LayerNorm(self.head)
            self.k_layernorm = LayerNorm(self.head)

    def project(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return query, key and value of shape (B, heads, T, H)."""
        packed = self.query_key_value(x).view(*x.shape[:2], self.heads, 3, self.head)
        query, key, value = (select(packed, -2) for _ in range(3))
        if "q_layernorm" in vars(self):
            query, key = self.q_layernorm(query), self.k_layernorm(key)
        return query.transposed(1, 2), key.transposed(1, 2), value.transposed(1, 2)

    def place(self, query: Tensor, key: Tensor, context: Context) -> tuple[Tensor, Tensor]:
        """Turn the first part of each head."""
        positions = context.positions[self.kind]
        return rotate_part(query, *positions), rotate_part(key, *positions)


class MLP(PlainMLP):
    """Two linear layers."""

    names = ("dense_h_to_4h", "dense_4h_to_h")

    def __init__(self, config: Config) -> None:
        width, inner = config.size("D", "hidden_size"), config.size("F", "intermediate_size")
        super().__init__(width, inner, config.get("hidden_act", "relu2"))


class DecoderLayer(decoder.DecoderLayer):
    """Pre-norm attention and MLP."""

    attention = Attention
    feed_forward = MLP
    norm = LayerNorm

    def __init__(self, config: Config, kind: str = FULL) -> None:
        super().__init__(config, kind)
        self.dropout = Dropout(config.get("hidden_dropout", 0.0))

    def forward(self, hidden: Tensor, context: Context) -> Tensor:
        """(B, T, D) to (B, T, D)."""
        residual = hidden
        hidden = self.input_layernorm(hidden)
        hidden = self.self_attn(hidden, context)
        hidden = residual + hidden
        residual = hidden
        hidden = self.post_attention_layernorm(hidden)
        hidden = self.mlp(hidden)
        hidden = self.dropout(hidden)
        return hidden + residual


class Decoder(decoder.Decoder):
    """Embedding, layers and final norm."""

    layer = DecoderLayer
    norm_type = LayerNorm
    final = "final_layernorm"
    rotary_share = 0.5


def build(config: Config, task: str) -> Model:
    """Build the model of a config for a task."""
    return build_decoder(config, task, Decoder)
