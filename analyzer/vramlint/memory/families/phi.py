"""Phi 1 to 2: biases everywhere, attention beside the MLP behind one norm (transformers 5.23, models/phi)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vramlint.memory.families import decoder
from vramlint.memory.families.decoder import FULL, Context, Head, PlainMLP, build_decoder
from vramlint.memory.families.layers import rotate_part
from vramlint.memory.modules import Dropout, LayerNorm, Module

if TYPE_CHECKING:
    from vramlint.memory.families.base import Config, Model
    from vramlint.memory.tape import Tensor

MODEL_TYPES = ("phi",)


class Attention(decoder.Attention):
    """Attention that turns the first part of each head."""

    output = "dense"

    def make_projections(self, config: Config) -> None:
        """Make the linear layers before and behind the attention, and the norms of single heads."""
        super().make_projections(config)
        if config.get("qk_layernorm", default=False):
            self.q_layernorm = LayerNorm(self.head)
            self.k_layernorm = LayerNorm(self.head)

    def biases(self, config: Config) -> tuple[bool, bool]:  # noqa: ARG002  as its siblings
        """Return whether the projections have a bias."""
        return True, True

    def place(self, query: Tensor, key: Tensor, context: Context) -> tuple[Tensor, Tensor]:
        """Turn the first part of each head."""
        if "q_layernorm" in vars(self):
            query, key = self.q_layernorm(query), self.k_layernorm(key)
        positions = context.positions[self.kind]
        return rotate_part(query, *positions), rotate_part(key, *positions)


class DecoderLayer(Module):
    """Attention and MLP beside each other."""

    label = "residual stream"

    def __init__(self, config: Config, kind: str = FULL) -> None:
        width, inner = config.size("D", "hidden_size"), config.size("F", "intermediate_size")
        self.self_attn = Attention(config, kind)
        self.mlp = PlainMLP(width, inner, config.get("hidden_act", "gelu_new"))
        self.input_layernorm = LayerNorm(width)
        self.resid_dropout = Dropout(config.get("resid_pdrop", 0.0))

    def forward(self, hidden: Tensor, context: Context) -> Tensor:
        """(B, T, D) to (B, T, D)."""
        residual = hidden
        hidden = self.input_layernorm(hidden)
        attended = self.self_attn(hidden, context)
        attended = self.resid_dropout(attended)
        fed_forward = self.resid_dropout(self.mlp(hidden))
        return attended + fed_forward + residual  # type: ignore[no-any-return]


class Decoder(decoder.Decoder):
    """Embedding, layers and final norm."""

    final = "final_layernorm"
    layer = DecoderLayer
    norm_type = LayerNorm
    rotary_share = 0.5

    def __init__(self, config: Config) -> None:
        super().__init__(config)
        self.embed_dropout = Dropout(config.get("embd_pdrop", 0.0))

    def drop(self, embeds: Tensor) -> Tensor:
        """Drop elements of the embeddings."""
        return self.embed_dropout(embeds)  # type: ignore[no-any-return]


def build(config: Config, task: str) -> Model:
    """Build the model of a config for a task."""
    return build_decoder(config, task, Decoder, Head(bias=True))
