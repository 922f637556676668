"""GPT-NeoX and Pythia: one projection for query, key and value, attention beside the MLP (models/gpt_neox)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vramlint.memory.families import decoder
from vramlint.memory.families.decoder import FULL, Context, PlainMLP, build_decoder, head_views, rotary_size
from vramlint.memory.families.layers import Rotary, rotate_part
from vramlint.memory.modules import Dropout, LayerNorm, Linear, Module
from vramlint.memory.operators.elementwise import reordered, split
from vramlint.memory.tape import Dim, Tensor

if TYPE_CHECKING:
    from vramlint.memory.families.base import Config, Model

MODEL_TYPES = ("gpt_neox",)


class Attention(decoder.Attention):
    """Multi-head attention; each head's query, key and value lie side by side in one projection."""

    output = "dense"

    def make_projections(self, config: Config) -> None:
        """Make the linear layers before and behind the attention."""
        bias = config.get("attention_bias", default=True)
        self.query_key_value = Linear(self.width, Dim(3 * self.width, "3D"), bias=bias)
        self.dense = Linear(self.width, self.width, bias=bias)

    def project(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return query, key and value of shape (B, heads, T, H)."""
        qkv = reordered(self.query_key_value(x))
        qkv = head_views(qkv, self.heads, 3 * self.head).transposed(1, 2)
        query, key, value = split(qkv, (self.head,) * 3)
        return query, key, value

    def place(self, query: Tensor, key: Tensor, context: Context) -> tuple[Tensor, Tensor]:
        """Turn the first part of each head."""
        positions = context.positions[self.kind]
        return rotate_part(query, *positions), rotate_part(key, *positions)


class MLP(PlainMLP):
    """Two linear layers."""

    names = ("dense_h_to_4h", "dense_4h_to_h")


class DecoderLayer(Module):
    """Attention and MLP beside each other, or one after the other."""

    label = "residual stream"

    def __init__(self, config: Config, kind: str = FULL) -> None:
        width, p = config.size("D", "hidden_size"), config.get("hidden_dropout", 0.0)
        self.parallel = config.get("use_parallel_residual", default=True)
        self.input_layernorm = LayerNorm(width)
        self.post_attention_layernorm = LayerNorm(width)
        self.post_attention_dropout = Dropout(p)
        self.post_mlp_dropout = Dropout(p)
        self.attention = Attention(config, kind)
        self.mlp = MLP(width, config.size("F", "intermediate_size"), config.get("hidden_act", "gelu"))

    def forward(self, hidden: Tensor, context: Context) -> Tensor:
        """(B, T, D) to (B, T, D)."""
        attended = self.attention(self.input_layernorm(hidden), context)
        attended = self.post_attention_dropout(attended)
        if self.parallel:
            out = self.mlp(self.post_attention_layernorm(hidden))
            out = self.post_mlp_dropout(out)
            return out + attended + hidden  # type: ignore[no-any-return]
        attended = attended + hidden
        out = self.mlp(self.post_attention_layernorm(attended))
        out = self.post_mlp_dropout(out)
        return out + attended  # type: ignore[no-any-return]


class Decoder(decoder.Decoder):
    """Embedding, layers and final norm."""

    embedding, final = "embed_in", "final_layer_norm"
    layer = DecoderLayer
    norm_type = LayerNorm

    def __init__(self, config: Config) -> None:
        super().__init__(config)
        self.emb_dropout = Dropout(config.get("hidden_dropout", 0.0))

    def make_rotary(self, config: Config) -> Module:
        """Return the rotary embedding."""
        return Rotary(rotary_size(config, config.get("rotary_pct", 0.25)))

    def drop(self, embeds: Tensor) -> Tensor:
        """Drop elements of the embeddings."""
        return self.emb_dropout(embeds)  # type: ignore[no-any-return]


def build(config: Config, task: str) -> Model:
    """Build the model of a config for a task."""
    return build_decoder(config, task, Decoder, prefix="gpt_neox")
