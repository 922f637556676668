"""GPT-Neo: unscaled attention, every other layer local, with its triangles as buffers (models/gpt_neo)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vramlint.memory.dtypes import BOOL
from vramlint.memory.families import gpt
from vramlint.memory.families.decoder import Context, Head, build_decoder
from vramlint.memory.families.gpt import attend_in_fp32, width_of
from vramlint.memory.families.layers import split_heads
from vramlint.memory.modules import Buffer, Dropout, Linear, Module
from vramlint.memory.tape import Dim, Tensor

if TYPE_CHECKING:
    from vramlint.memory.families.base import Config, Model

MODEL_TYPES = ("gpt_neo",)


class SelfAttention(Module):
    """Multi-head attention whose scores are masked by a stored triangle."""

    label = "attention"

    def __init__(self, config: Config) -> None:
        width, positions = width_of(config), config.get("max_position_embeddings", 2048)
        self.heads = config.size("N", "num_heads", "num_attention_heads")
        self.head = Dim(width // self.heads, "H")
        self.bias = Buffer(1, 1, positions, positions, dtype=BOOL)
        self.p = config.get("attention_dropout", 0.0)
        self.resid_dropout = Dropout(config.get("resid_dropout", 0.0))
        self.k_proj = Linear(width, width, bias=False)
        self.v_proj = Linear(width, width, bias=False)
        self.q_proj = Linear(width, width, bias=False)
        self.out_proj = Linear(width, width)

    def forward(self, x: Tensor, context: Context) -> Tensor:
        """(B, T, D) to (B, T, D)."""
        query, key, value = self.q_proj(x), self.k_proj(x), self.v_proj(x)
        query = split_heads(query, self.heads, self.head)
        key = split_heads(key, self.heads, self.head)
        value = split_heads(value, self.heads, self.head)
        if context.cache is not None:
            key, value = context.cache.update(key, value)
        triangle = self.bias.tensor
        assert triangle is not None
        length = x.shape[1]
        kept = Tensor((1, 1, length, length), BOOL, triangle.storage, contiguous=False)
        out = attend_in_fp32(query, key, value, context, p=self.p, kept=kept)
        out = self.out_proj(out)
        return self.resid_dropout(out)  # type: ignore[no-any-return]


class Attention(Module):
    """What transformers puts around the attention of each kind."""

    def __init__(self, config: Config, kind: str) -> None:  # noqa: ARG002  as its siblings
        self.attention = SelfAttention(config)

    def forward(self, x: Tensor, context: Context) -> Tensor:
        """(B, T, D) to (B, T, D)."""
        return self.attention(x, context)  # type: ignore[no-any-return]


class MLP(gpt.MLP):
    """Two linear layers."""

    names = ("c_fc", "c_proj")

    def __init__(self, config: Config) -> None:
        super().__init__(config, "gelu_new")


class Block(gpt.Block):
    """Pre-norm attention and MLP."""

    attention = Attention
    feed_forward = MLP


class Decoder(gpt.Decoder):
    """Token and position embeddings, blocks, final norm."""

    block = Block


def build(config: Config, task: str) -> Model:
    """Build the model of a config for a task."""
    return build_decoder(config, task, Decoder, Head(tied=True), prefix="transformer")
