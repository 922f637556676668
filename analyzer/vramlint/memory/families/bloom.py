"""BLOOM: ALiBi added in the product of queries and keys, a GELU that is computed again (models/bloom)."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from vramlint.memory.dtypes import FLOAT32
from vramlint.memory.families.decoder import FULL, Context, Head, build_decoder, head_views
from vramlint.memory.families.layers import KeyValueCache, causal_mask
from vramlint.memory.modules import Embedding, LayerNorm, Linear, Module, Stack
from vramlint.memory.operators.activations import recomputed_gelu
from vramlint.memory.operators.elementwise import cast, contiguous, dropout, select
from vramlint.memory.operators.matmul import added_batched, batched
from vramlint.memory.operators.softmax import softmax
from vramlint.memory.tape import Dim, Tensor

if TYPE_CHECKING:
    from vramlint.memory.families.base import Config, Model, Regime

MODEL_TYPES = ("bloom",)


class Attention(Module):
    """Multi-head attention; each head's query, key and value lie side by side in one projection."""

    label = "attention"

    def __init__(self, config: Config) -> None:
        width = config.size("D", "hidden_size", "n_embed")
        self.heads = config.size("N", "n_head", "num_attention_heads")
        self.head = Dim(width // self.heads, "H")
        self.query_key_value = Linear(width, Dim(3 * width, "3D"))
        self.dense = Linear(width, width)
        self.p = config.get("attention_dropout", 0.0)
        self.hidden_p = config.get("hidden_dropout", 0.0)

    def forward(self, x: Tensor, residual: Tensor, context: Context) -> Tensor:
        """(B, T, D) to (B, T, D)."""
        batch, length, width = x.shape
        fused = head_views(self.query_key_value(x), self.heads, 3 * self.head)
        fused = fused.view(batch, length, self.heads, 3, self.head)
        query, key, value = (select(fused, -2).transposed(1, 2) for _ in range(3))
        if context.cache is not None:
            key, value = context.cache.update(key, value)
        flat = (batch * self.heads, length, self.head)
        query, key, value = (
            (part if batch == 1 else contiguous(part)).view(*flat) for part in (query, key, value)
        )
        alibi = context.masks["alibi"]
        assert alibi is not None
        scores = added_batched(alibi, query, key.transposed(-1, -2))
        masked = scores.view(batch, self.heads, length, length)
        mask = context.masks[FULL]
        if mask is not None:
            masked = masked + mask
        weights = cast(softmax(masked, FLOAT32), query.dtype)
        weights = dropout(weights, self.p)
        context.weights.make(weights)
        out = batched(weights.view(batch * self.heads, length, length), value)
        out = contiguous(out.view(batch, self.heads, length, self.head).transposed(1, 2))
        out = self.dense(out.view(batch, length, width))
        return residual + dropout(out, self.hidden_p)


class MLP(Module):
    """Two linear layers."""

    label = "mlp"

    def __init__(self, config: Config) -> None:
        width = config.size("D", "hidden_size", "n_embed")
        inner = Dim(4 * width, "4D")
        self.dense_h_to_4h = Linear(width, inner)
        self.dense_4h_to_h = Linear(inner, width)
        self.p = config.get("hidden_dropout", 0.0)

    def forward(self, x: Tensor, residual: Tensor) -> Tensor:
        """(B, T, D) to (B, T, D)."""
        x = recomputed_gelu(self.dense_h_to_4h(x))
        out = self.dense_4h_to_h(x)
        return residual + dropout(out, self.p)


class Block(Module):
    """Pre-norm attention and MLP, which add the residual themselves."""

    label = "residual stream"

    def __init__(self, config: Config) -> None:
        width = config.size("D", "hidden_size", "n_embed")
        self.input_layernorm = LayerNorm(width)
        self.self_attention = Attention(config)
        self.post_attention_layernorm = LayerNorm(width)
        self.mlp = MLP(config)
        self.after = config.get("apply_residual_connection_post_layernorm", default=False)

    def forward(self, hidden: Tensor, context: Context) -> Tensor:
        """(B, T, D) to (B, T, D)."""
        normed = self.input_layernorm(hidden)
        residual = normed if self.after else hidden
        attended = self.self_attention(normed, residual, context)
        normed = self.post_attention_layernorm(attended)
        residual = normed if self.after else attended
        hidden = self.mlp(normed, residual)
        context.weights.give()
        return hidden


class Decoder(Module):
    """Normalized token embedding, blocks, final norm."""

    def __init__(self, config: Config) -> None:
        width = config.size("D", "hidden_size", "n_embed")
        self.heads = config.size("N", "n_head", "num_attention_heads")
        self.word_embeddings = Embedding(config.size("V", "vocab_size"), width)
        self.word_embeddings_layernorm = LayerNorm(width)
        self.h = Stack(config.size("L", "n_layer", "num_hidden_layers"), lambda _: Block(config))
        self.ln_f = LayerNorm(width)

    def forward(self, ids: Tensor, regime: Regime, cache: KeyValueCache | None) -> Tensor:
        """(B, T) token ids to (B, T, D)."""
        if regime.attention == "sdpa":  # transformers has no other than eager attention for it
            regime = replace(regime, attention="eager")
        batch, length = ids.shape
        embeds = self.word_embeddings(ids)
        hidden = self.word_embeddings_layernorm(embeds)
        alibi = ids.tape.empty((batch * self.heads, 1, length), hidden.dtype)
        masks = {FULL: causal_mask(embeds, regime), "alibi": alibi}
        context = Context(regime, None if self.h.checkpointed else cache, masks)
        hidden = self.h(hidden, context)
        hidden = self.ln_f(hidden)
        context.weights.release()
        return hidden  # type: ignore[no-any-return]


def build(config: Config, task: str) -> Model:
    """Build the model of a config for a task."""
    return build_decoder(config, task, Decoder, Head(tied=True), prefix="transformer")
