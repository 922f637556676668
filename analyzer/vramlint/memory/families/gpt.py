"""What GPT-Neo, GPT-J, CodeGen and GPT-BigCode share: blocks, decoder, and attention with scores in fp32."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from vramlint.memory.dtypes import FLOAT32, INT64
from vramlint.memory.families.decoder import FULL, Context, PlainMLP
from vramlint.memory.families.layers import KeyValueCache, causal_mask
from vramlint.memory.modules import Dropout, Embedding, LayerNorm, Module, Stack
from vramlint.memory.operators.elementwise import cast, contiguous, dropout, reshape, where
from vramlint.memory.operators.matmul import batched
from vramlint.memory.operators.softmax import softmax

if TYPE_CHECKING:
    from vramlint.memory.families.base import Config, Regime
    from vramlint.memory.tape import Dim, Tensor


def width_of(config: Config) -> Dim:
    """Return the width, under either of its names."""
    return config.size("D", "hidden_size", "n_embd")


class MLP(PlainMLP):
    """Two linear layers with dropout behind them."""

    def __init__(self, config: Config, act: str) -> None:
        width = width_of(config)
        inner = config.size("F", "intermediate_size", "n_inner", default=4 * width)
        super().__init__(width, inner, config.get("activation_function", act))
        self.dropout = Dropout(config.get("resid_pdrop", config.get("resid_dropout", self.default_dropout)))

    default_dropout = 0.0

    def forward(self, x: Tensor) -> Tensor:
        """(B, T, D) to (B, T, D)."""
        return self.dropout(super().forward(x))  # type: ignore[no-any-return]


class Block(Module):
    """Pre-norm attention and MLP, each with a residual."""

    label = "residual stream"
    attention: Any = Module
    feed_forward: Any = MLP

    def __init__(self, config: Config, kind: str = FULL) -> None:
        width = width_of(config)
        self.ln_1 = LayerNorm(width)
        self.attn = self.attention(config, kind)
        self.ln_2 = LayerNorm(width)
        self.mlp = self.feed_forward(config)

    def forward(self, hidden: Tensor, context: Context) -> Tensor:
        """(B, T, D) to (B, T, D)."""
        residual = hidden
        hidden = self.ln_1(hidden)
        attended = self.attn(hidden, context)
        hidden = attended + residual
        residual = hidden
        hidden = self.ln_2(hidden)
        fed_forward = self.mlp(hidden)
        hidden = residual + fed_forward
        context.weights.give()
        return hidden


class ParallelBlock(Module):
    """Attention and MLP beside each other behind one norm."""

    label = "residual stream"
    attention: Any = Module
    feed_forward: Any = MLP

    def __init__(self, config: Config, kind: str = FULL) -> None:
        self.ln_1 = LayerNorm(width_of(config))
        self.attn = self.attention(config, kind)
        self.mlp = self.feed_forward(config)

    def forward(self, hidden: Tensor, context: Context) -> Tensor:
        """(B, T, D) to (B, T, D)."""
        residual = hidden
        hidden = self.ln_1(hidden)
        attended = self.attn(hidden, context)
        fed_forward = self.mlp(hidden)
        hidden = attended + fed_forward + residual
        context.weights.give()
        return hidden


class Decoder(Module):
    """Token and, in some, position embeddings, blocks, final norm."""

    block: Any = Block
    positions = True
    eager_only = True
    default_dropout = 0.0

    def __init__(self, config: Config) -> None:
        width = width_of(config)
        kinds = self.kinds(config, config.size("L", "num_layers", "num_hidden_layers", "n_layer"))
        self.wte = Embedding(config.size("V", "vocab_size"), width)
        if self.positions:
            self.wpe = Embedding(config.size("P", "max_position_embeddings", "n_positions"), width)
        self.drop = Dropout(config.get("embd_pdrop", config.get("embed_dropout", self.default_dropout)))
        self.h = Stack(len(kinds), lambda index: self.block(config, kinds[index]), kinds)
        self.ln_f = LayerNorm(width)

    def kinds(self, config: Config, count: int) -> list[str]:  # noqa: ARG002  as its siblings
        """Return the kind of each block."""
        return [FULL] * count

    def forward(self, ids: Tensor, regime: Regime, cache: KeyValueCache | None) -> Tensor:
        """(B, T) token ids to (B, T, D)."""
        if self.eager_only and regime.attention == "sdpa":
            regime = replace(regime, attention="eager")
        embeds = self.wte(ids)
        mask = causal_mask(embeds, regime)
        hidden = embeds
        if self.positions:
            places = self.wpe(ids.tape.empty((1, ids.shape[1]), INT64))
            hidden = embeds + places
        hidden = self.drop(hidden)
        context = Context(regime, None if self.h.checkpointed else cache, {FULL: mask})
        hidden = self.h(hidden, context)
        hidden = self.ln_f(hidden)
        context.weights.release()
        return hidden  # type: ignore[no-any-return]


def attend_in_fp32(
    query: Tensor, key: Tensor, value: Tensor, context: Context, *, p: float, kept: Tensor | None = None
) -> Tensor:
    """Attention with queries and keys in fp32, on (B, heads, T, H); returns (B, T, heads·H).

    `kept` is a boolean triangle that is applied before the mask; without it the scores are scaled.
    """
    query, key = cast(query, FLOAT32), cast(key, FLOAT32)
    weights = batched(query, contiguous(key).transposed(-1, -2))
    weights = weights * 1.0 if kept is None else where(kept, weights, weights.tape.empty((), weights.dtype))
    mask = context.masks[FULL]
    if mask is not None:
        weights = weights + mask
    weights = softmax(weights)
    weights = cast(weights, value.dtype)
    weights = dropout(weights, p)
    context.weights.make(weights)
    out = batched(weights, contiguous(value))
    batch, heads, length, size = out.shape
    out = contiguous(out.transposed(1, 2))
    return reshape(out, batch, length, heads * size)
