"""MPT: ALiBi for the longest sequence, eager attention only, no biases (transformers 5.23, models/mpt)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vramlint.memory.dtypes import BOOL, FLOAT32
from vramlint.memory.families.decoder import FULL, Context, Head, PlainMLP, build_decoder
from vramlint.memory.families.layers import KeyValueCache, split_heads
from vramlint.memory.modules import Embedding, LayerNorm, Linear, Module, Stack
from vramlint.memory.operators.elementwise import cast, contiguous, dropout, masked_fill, split
from vramlint.memory.operators.matmul import batched
from vramlint.memory.operators.softmax import softmax
from vramlint.memory.tape import Dim, Tensor

if TYPE_CHECKING:
    from vramlint.memory.families.base import Config, Model, Regime

MODEL_TYPES = ("mpt",)


def _dropout(config: Config) -> float:
    return float((config.get("attn_config") or {}).get("attn_pdrop", 0.0))


class Attention(Module):
    """Multi-head attention with a bias for the distance of positions."""

    label = "attention"

    def __init__(self, config: Config) -> None:
        self.width = config.size("D", "d_model", "hidden_size")
        self.heads = config.size("N", "n_heads", "num_attention_heads")
        self.head = Dim(self.width // self.heads, "H")
        self.clips = (config.get("attn_config") or {}).get("clip_qkv")
        self.Wqkv = Linear(self.width, Dim(3 * self.width, "3D"), bias=False)
        self.out_proj = Linear(self.width, self.width, bias=False)
        self.p = _dropout(config)

    def forward(self, x: Tensor, context: Context) -> Tensor:
        """(B, T, D) to (B, T, D)."""
        fused = self.Wqkv(x)
        if self.clips:
            fused = masked_fill(fused, fused.tape.empty(fused.shape, BOOL))
        query, key, value = split(fused, (self.width,) * 3)
        query = split_heads(query, self.heads, self.head)
        key, value = split_heads(key, self.heads, self.head), split_heads(value, self.heads, self.head)
        if context.cache is not None:
            key, value = context.cache.update(key, value)
        scores = batched(query, contiguous(key).transposed(-1, -2)) * 1.0
        alibi, mask = context.masks["alibi"], context.masks[FULL]
        assert alibi is not None
        assert mask is not None
        scores = scores + alibi.view(1, *alibi.shape)
        scores = masked_fill(scores, mask)
        weights = cast(softmax(cast(scores, FLOAT32)), value.dtype)
        weights = dropout(weights, self.p)
        context.weights.make(weights)
        out = batched(weights, contiguous(value))
        out = contiguous(out.transposed(1, 2)).view(*x.shape[:-1], self.width)
        return self.out_proj(out)  # type: ignore[no-any-return]


class FeedForward(PlainMLP):
    """Two linear layers, with dropout behind them."""

    names = ("up_proj", "down_proj")


class Block(Module):
    """Pre-norm attention and MLP, each with a residual."""

    label = "residual stream"

    def __init__(self, config: Config) -> None:
        width = config.size("D", "d_model", "hidden_size")
        self.norm_1 = LayerNorm(width, bias=False)
        self.attn = Attention(config)
        self.norm_2 = LayerNorm(width, bias=False)
        self.ffn = FeedForward(width, Dim(4 * width, "4D"), "gelu", bias=False)
        self.p = _dropout(config)

    def forward(self, hidden: Tensor, context: Context) -> Tensor:
        """(B, T, D) to (B, T, D)."""
        normed = self.norm_1(hidden)
        residual = hidden
        attended = self.attn(normed, context)
        hidden = dropout(attended, self.p) + residual
        normed = self.norm_2(hidden)
        hidden = dropout(self.ffn(normed), self.p) + hidden
        context.weights.give()
        return hidden


class Decoder(Module):
    """Token embedding, blocks, final norm."""

    def __init__(self, config: Config) -> None:
        width = config.size("D", "d_model", "hidden_size")
        self.heads = config.size("N", "n_heads", "num_attention_heads")
        self.longest = config.get("max_seq_len", 2048)
        self.wte = Embedding(config.size("V", "vocab_size"), width)
        self.blocks = Stack(config.size("L", "n_layers", "num_hidden_layers"), lambda _: Block(config))
        self.norm_f = LayerNorm(width, bias=False)

    def forward(self, ids: Tensor, regime: Regime, cache: KeyValueCache | None) -> Tensor:
        """(B, T) token ids to (B, T, D)."""
        batch, length = ids.shape
        hidden = self.wte(ids)
        whole = ids.tape.empty((self.heads, 1, self.longest), FLOAT32)
        alibi = Tensor((self.heads, 1, length), FLOAT32, whole.storage, contiguous=False)
        masks = {FULL: ids.tape.empty((batch, 1, length, Dim(length, "T")), BOOL), "alibi": alibi}
        context = Context(regime, None if self.blocks.checkpointed else cache, masks)
        hidden = self.blocks(hidden, context)
        hidden = self.norm_f(hidden)
        context.weights.release()
        return hidden  # type: ignore[no-any-return]


def build(config: Config, task: str) -> Model:
    """Build the model of a config for a task."""
    return build_decoder(config, task, Decoder, Head(tied=True), prefix="transformer")
