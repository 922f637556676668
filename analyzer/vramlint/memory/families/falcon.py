"""Falcon: multi-query and grouped attention, with rotary embeddings or ALiBi, beside the MLP (models/falcon)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vramlint.memory.dtypes import BOOL, FLOAT32
from vramlint.memory.families.decoder import FULL, Context, Head, build_decoder
from vramlint.memory.families.layers import KeyValueCache, Rotary, causal_mask, rotate
from vramlint.memory.modules import Embedding, LayerNorm, Linear, Module, Stack, parameter_tensor
from vramlint.memory.operators.activations import activation
from vramlint.memory.operators.attention import sdpa, sdpa_one_head
from vramlint.memory.operators.elementwise import (
    add_inplace,
    cast,
    contiguous,
    copy,
    dropout,
    expand,
    narrow,
    reshape,
    select,
)
from vramlint.memory.operators.indexing import take_rows
from vramlint.memory.operators.matmul import batched, linear
from vramlint.memory.operators.softmax import softmax
from vramlint.memory.tape import Dim, Tensor

if TYPE_CHECKING:
    from vramlint.memory.families.base import Config, Model, Regime

MODEL_TYPES = ("falcon",)

_ALIBI = "alibi"


class BiasedLinear(Linear):
    """A product, then the sum with the bias as an operator of its own."""

    def forward(self, x: Tensor) -> Tensor:
        """(…, in) to (…, out)."""
        weight = parameter_tensor(self.weight)
        if x.tape.autocast is not None:  # its cache takes no views, and the weight comes transposed
            weight = cast(weight, x.tape.autocast)
        out = linear(x, weight)
        return out + parameter_tensor(self.bias) if "bias" in vars(self) else out


class Attention(Module):
    """Attention with one projection for query, key and value."""

    label = "attention"

    def __init__(self, config: Config) -> None:
        self.width = config.size("D", "hidden_size", "n_embed")
        self.heads = config.size("N", "num_attention_heads", "n_head")
        self.head = Dim(self.width // self.heads, "H")
        self.new = config.get("new_decoder_architecture", default=False)
        self.multi_query = config.get("multi_query", default=True)
        self.groups = config.get("num_kv_heads", self.heads) if self.new or not self.multi_query else 1
        bias, outputs = config.get("bias", default=False), (self.heads + 2 * self.groups) * self.head
        self.query_key_value = BiasedLinear(self.width, Dim(outputs, "(N+2K)·H"), bias=bias)
        self.dense = BiasedLinear(self.width, self.width, bias=bias)
        self.p = config.get("attention_dropout", 0.0)

    def project(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return query, key and value of shape (B, heads, T, H)."""
        batch, length, _ = x.shape
        fused = self.query_key_value(x)
        if self.new:
            query, key, value = self.grouped(fused)
        elif self.multi_query:
            fused = fused.view(batch, length, self.heads + 2, self.head)
            query = narrow(fused, -2, self.heads)
            key, value = (take_rows(fused, (), batch, length, 1, self.head) for _ in range(2))
        else:
            fused = fused.view(batch, length, self.heads, 3, self.head)
            query, key, value = (select(fused, -2) for _ in range(3))
        return query.transposed(1, 2), key.transposed(1, 2), value.transposed(1, 2)

    def grouped(self, fused: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Copy the queries of all groups together, and keys and values once per query head."""
        batch, length, _ = fused.shape
        share, whole = self.heads // self.groups, (batch, length, self.heads, self.head)
        fused = fused.view(batch, length, self.groups, share + 2, self.head)
        query = narrow(fused, -2, share)
        shape = (batch, length, self.groups, 1, self.head)
        key, value = (expand(take_rows(fused, (), *shape), *query.shape) for _ in range(2))
        return copy(query).view(*whole), copy(key).view(*whole), copy(value).view(*whole)

    def forward(self, x: Tensor, context: Context) -> Tensor:
        """(B, T, D) to (B, T, D)."""
        query, key, value = self.project(x)
        alibi, mask = context.masks.get(_ALIBI), context.masks[FULL]
        if alibi is None:
            positions = context.positions[FULL]
            query, key = rotate(query, *positions), rotate(key, *positions)
        if context.cache is not None:
            key, value = context.cache.update(key, value)
        if context.regime.attention == "eager":
            out = self.eager(query, key, value, context, x)
        elif key.shape[1] == self.heads:
            out = sdpa(query, key, value, mask, dropout=0.0 if alibi is None else self.p)
        else:
            out = sdpa_one_head(query, key, value, mask)
        out = contiguous(out.transposed(1, 2))
        return self.dense(reshape(out, *x.shape[:-1], self.width))  # type: ignore[no-any-return]

    def eager(self, query: Tensor, key: Tensor, value: Tensor, context: Context, x: Tensor) -> Tensor:
        """Attention written out; the scores' softmax has the type of x."""
        batch, heads, length, size = query.shape
        alibi, mask = context.masks.get(_ALIBI), context.masks[FULL]
        assert mask is not None
        key = contiguous(expand(key, batch, heads, length, size) if key.shape[1] != heads else key)
        value = contiguous(expand(value, batch, heads, length, size) if value.shape[1] != heads else value)
        scores = batched(query, key.transposed(-1, -2))
        if alibi is not None:
            scores = cast(scores, FLOAT32) if scores.dtype.is_half else scores
            scores = scores + alibi
        weights = softmax(scores + mask, x.dtype)
        weights = dropout(weights, self.p if alibi is not None else 0.0)
        context.weights.make(weights)
        return batched(weights, value)


class MLP(Module):
    """Two linear layers."""

    label = "mlp"

    def __init__(self, config: Config) -> None:
        width, bias = config.size("D", "hidden_size", "n_embed"), config.get("bias", default=False)
        inner = config.size("F", "ffn_hidden_size", default=4 * width)
        self.dense_h_to_4h = BiasedLinear(width, inner, bias=bias)
        self.dense_4h_to_h = BiasedLinear(inner, width, bias=bias)
        self.act = activation(config.get("activation", "gelu"))

    def forward(self, x: Tensor) -> Tensor:
        """(B, T, D) to (B, T, D)."""
        x = self.act(self.dense_h_to_4h(x))
        return self.dense_4h_to_h(x)  # type: ignore[no-any-return]


class Block(Module):
    """Attention and MLP, beside each other behind one or two norms, or one after the other."""

    label = "residual stream"

    def __init__(self, config: Config) -> None:
        width = config.size("D", "hidden_size", "n_embed")
        self.self_attention = Attention(config)
        self.mlp = MLP(config)
        self.p, self.attention_p = config.get("hidden_dropout", 0.0), config.get("attention_dropout", 0.0)
        new = config.get("new_decoder_architecture", default=False)
        self.parallel = config.get("parallel_attn", default=True) or new
        norms = config.get("num_ln_in_parallel_attn", 2 if new else 1)
        if config.get("parallel_attn", default=True) and norms == 2:  # noqa: PLR2004  one for each branch
            self.ln_attn, self.ln_mlp = LayerNorm(width), LayerNorm(width)
            return
        if not config.get("parallel_attn", default=True):
            self.post_attention_layernorm = LayerNorm(width)
        self.input_layernorm = LayerNorm(width)

    def forward(self, hidden: Tensor, context: Context) -> Tensor:
        """(B, T, D) to (B, T, D)."""
        residual = hidden
        if "ln_attn" in vars(self):
            normed, for_mlp = self.ln_attn(hidden), self.ln_mlp(hidden)
        else:
            normed = for_mlp = self.input_layernorm(hidden)
        attended = self.self_attention(normed, context)
        if not self.parallel:
            residual = residual + dropout(attended, self.attention_p)
            for_mlp = self.post_attention_layernorm(residual)
        out = self.mlp(for_mlp)
        if self.parallel:
            out = add_inplace(out, attended)
        hidden = residual + dropout(out, self.p)
        context.weights.give()
        return hidden


class Decoder(Module):
    """Token embedding, blocks, final norm."""

    def __init__(self, config: Config) -> None:
        width = config.size("D", "hidden_size", "n_embed")
        self.heads = config.size("N", "num_attention_heads", "n_head")
        self.alibi = config.get("alibi", default=False)
        self.word_embeddings = Embedding(config.size("V", "vocab_size"), width)
        self.h = Stack(config.size("L", "num_hidden_layers", "n_layer"), lambda _: Block(config))
        self.ln_f = LayerNorm(width)
        self.rotary_emb = Rotary(width // self.heads)

    def masks(self, x: Tensor, regime: Regime) -> dict[str, Tensor | None]:
        """Return the mask, which is always there, and ALiBi's bias, which it then holds for SDPA."""
        batch, length, _ = x.shape
        mask = causal_mask(x, regime)
        if mask is None:
            mask = expand(x.tape.empty((1, 1, length, Dim(length, "T")), BOOL), batch, 1, length, length)
        if not self.alibi:
            return {FULL: mask}
        alibi = x.tape.empty((batch, self.heads, 1, length), x.dtype)
        return {FULL: x.tape.empty((batch, self.heads, length, length), x.dtype), _ALIBI: alibi}

    def forward(self, ids: Tensor, regime: Regime, cache: KeyValueCache | None) -> Tensor:
        """(B, T) token ids to (B, T, D)."""
        hidden = self.word_embeddings(ids)
        masks = self.masks(hidden, regime)
        positions = {FULL: self.rotary_emb(hidden)}
        context = Context(regime, None if self.h.checkpointed else cache, masks, positions)
        hidden = self.h(hidden, context)
        hidden = self.ln_f(hidden)
        context.weights.release()
        return hidden  # type: ignore[no-any-return]


def build(config: Config, task: str) -> Model:
    """Build the model of a config for a task."""
    return build_decoder(config, task, Decoder, Head(tied=True), prefix="transformer")
