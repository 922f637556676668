"""GPT-BigCode (StarCoder, SantaCoder): GPT-2 with one key and value head (models/gpt_bigcode)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vramlint.memory.dtypes import BOOL
from vramlint.memory.families import gpt
from vramlint.memory.families.decoder import FULL, Context, Head, build_decoder, head_views
from vramlint.memory.families.gpt import width_of
from vramlint.memory.families.layers import attend
from vramlint.memory.modules import Buffer, Dropout, Linear, Module
from vramlint.memory.operators.elementwise import reordered, reshape, split
from vramlint.memory.tape import Dim, Tensor

if TYPE_CHECKING:
    from vramlint.memory.families.base import Config, Model

MODEL_TYPES = ("gpt_bigcode",)


class Attention(Module):
    """Multi-query, or multi-head, attention with one projection for query, key and value."""

    label = "attention"

    def __init__(self, config: Config, kind: str) -> None:  # noqa: ARG002  as its siblings
        self.width = width_of(config)
        self.heads = config.size("N", "n_head", "num_attention_heads")
        self.head = Dim(self.width // self.heads, "H")
        self.multi_query = config.get("multi_query", default=True)
        keys = self.head if self.multi_query else self.width
        self.c_attn = Linear(self.width, Dim(self.width + 2 * keys, "(N+2K)·H"))
        self.c_proj = Linear(self.width, self.width)
        self.p = config.get("attn_pdrop", 0.1)
        self.resid_dropout = Dropout(config.get("resid_pdrop", 0.1))

    def project(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return query, key and value of shape (B, heads, T, H)."""
        batch, length, _ = x.shape
        if not self.multi_query:
            fused = head_views(reordered(self.c_attn(x)), self.heads, 3 * self.head).transposed(1, 2)
            query, key, value = split(fused, (self.head,) * 3)
            return query, key, value
        fused = self.c_attn(x)
        query, key, value = split(
            fused.view(batch, 1, length, fused.shape[-1]), (self.width, self.head, self.head)
        )
        return query.view(batch, length, self.heads, self.head).transposed(1, 2), key, value

    def forward(self, x: Tensor, context: Context) -> Tensor:
        """(B, T, D) to (B, T, D)."""
        query, key, value = self.project(x)
        if context.cache is not None:
            key, value = context.cache.update(key, value)
        out = attend(query, key, value, context.masks[FULL], context.regime, p=self.p)
        out = self.c_proj(reshape(out, *x.shape[:-1], self.width))
        return self.resid_dropout(out)  # type: ignore[no-any-return]


class MLP(gpt.MLP):
    """Two linear layers."""

    names = ("c_fc", "c_proj")
    default_dropout = 0.1

    def __init__(self, config: Config) -> None:
        super().__init__(config, "gelu_pytorch_tanh")


class Block(gpt.Block):
    """Pre-norm attention and MLP."""

    attention = Attention
    feed_forward = MLP


class Decoder(gpt.Decoder):
    """Token and position embeddings, blocks, final norm, and a triangle that is kept as a buffer."""

    block = Block
    eager_only = False
    default_dropout = 0.1

    def __init__(self, config: Config) -> None:
        super().__init__(config)
        positions = config.size("P", "n_positions", "max_position_embeddings")
        self.bias = Buffer(positions, positions, dtype=BOOL)


def build(config: Config, task: str) -> Model:
    """Build the model of a config for a task."""
    return build_decoder(config, task, Decoder, Head(tied=True), prefix="transformer")
