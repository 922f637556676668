"""StableLM: Llama with LayerNorm, partly turned heads and, in some, a parallel residual (models/stablelm)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vramlint.memory.families import decoder
from vramlint.memory.families.decoder import FULL, Context, build_decoder
from vramlint.memory.families.layers import rotate_part
from vramlint.memory.modules import Dropout, LayerNorm, Module
from vramlint.memory.operators.elementwise import concatenate, split

if TYPE_CHECKING:
    from vramlint.memory.families.base import Config, Model
    from vramlint.memory.tape import Tensor

MODEL_TYPES = ("stablelm",)


class PerHeadNorm(Module):
    """A LayerNorm without bias for each head."""

    def __init__(self, heads: int, size: int) -> None:
        self.norms = HeadNorms(heads, size)

    def forward(self, x: Tensor) -> Tensor:
        """(B, heads, T, H) to (B, heads, T, H)."""
        norms = [norm for _, norm in self.norms.children()]
        parts = split(x, (1,) * len(norms), 1)
        return concatenate([norm(part) for norm, part in zip(norms, parts, strict=True)], 1)


class HeadNorms(Module):
    """The list of the heads' norms."""

    def __init__(self, heads: int, size: int) -> None:
        for index in range(heads):
            setattr(self, str(index), LayerNorm(size, bias=False))


class Attention(decoder.Attention):
    """Attention that turns the first part of each head."""

    def make_projections(self, config: Config) -> None:
        """Make the linear layers before and behind the attention, and the norms of single heads."""
        super().make_projections(config)
        if config.get("qk_layernorm", default=False):
            self.q_layernorm = PerHeadNorm(self.heads, self.head)
            self.k_layernorm = PerHeadNorm(self.groups, self.head)

    def biases(self, config: Config) -> tuple[bool, bool]:
        """Return whether the query, key and value projections, and the output projection, have a bias."""
        return config.get("use_qkv_bias", default=False), False

    def place(self, query: Tensor, key: Tensor, context: Context) -> tuple[Tensor, Tensor]:
        """Turn the first part of each head."""
        if "q_layernorm" in vars(self):
            query, key = self.q_layernorm(query), self.k_layernorm(key)
        positions = context.positions[self.kind]
        return rotate_part(query, *positions), rotate_part(key, *positions)


class DecoderLayer(Module):
    """Attention and MLP, one after the other or beside each other."""

    label = "residual stream"

    def __init__(self, config: Config, kind: str = FULL) -> None:
        width = config.size("D", "hidden_size")
        self.parallel = config.get("use_parallel_residual", default=False)
        self.self_attn = Attention(config, kind)
        self.mlp = decoder.GatedMLP(config)
        self.input_layernorm = LayerNorm(width)
        if not self.parallel:
            self.post_attention_layernorm = LayerNorm(width)
        self.dropout = Dropout(config.get("hidden_dropout", 0.0))

    def forward(self, hidden: Tensor, context: Context) -> Tensor:
        """(B, T, D) to (B, T, D)."""
        residual = hidden
        hidden = self.input_layernorm(hidden)
        attended = self.self_attn(hidden, context)
        if self.parallel:
            out = self.mlp(hidden)
            out = self.dropout(out)
            return residual + attended + out  # type: ignore[no-any-return]
        residual = residual + attended
        out = self.mlp(self.post_attention_layernorm(residual))
        out = self.dropout(out)
        return residual + out  # type: ignore[no-any-return]


class Decoder(decoder.Decoder):
    """Embedding, layers and final norm."""

    layer = DecoderLayer
    norm_type = LayerNorm
    rotary_share = 0.25


def build(config: Config, task: str) -> Model:
    """Build the model of a config for a task."""
    return build_decoder(config, task, Decoder)
