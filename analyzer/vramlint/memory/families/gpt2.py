"""GPT-2 (transformers 5.23, models/gpt2/modeling_gpt2.py)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vramlint.memory.dtypes import INT64
from vramlint.memory.families.decoder import Head, build_decoder
from vramlint.memory.families.layers import (
    KeyValueCache,
    attend,
    causal_mask,
    split_heads,
)
from vramlint.memory.modules import Dropout, Embedding, LayerNorm, Module, Stack, TransposedLinear
from vramlint.memory.operators.activations import activation
from vramlint.memory.operators.elementwise import reshape, split
from vramlint.memory.tape import Dim, Tensor

if TYPE_CHECKING:
    from vramlint.memory.families.base import Config, Model, Regime

MODEL_TYPES = ("gpt2",)


class Attention(Module):
    """Multi-head attention with one projection for query, key and value."""

    label = "attention"

    def __init__(self, config: Config) -> None:
        self.width = config.size("D", "n_embd", "hidden_size")
        self.heads = config.size("N", "n_head", "num_attention_heads")
        self.head = Dim(self.width // self.heads, "H")
        self.c_attn = TransposedLinear(self.width, Dim(3 * self.width, "3D"))
        self.c_proj = TransposedLinear(self.width, self.width)
        self.p = config.get("attn_pdrop", 0.1)
        self.resid_dropout = Dropout(config.get("resid_pdrop", 0.1))

    def forward(self, x: Tensor, cache: KeyValueCache | None, mask: Tensor | None, regime: Regime) -> Tensor:
        """(B, T, D) to (B, T, D)."""
        query, key, value = split(self.c_attn(x), (self.width,) * 3)
        key = split_heads(key, self.heads, self.head)
        value = split_heads(value, self.heads, self.head)
        query = split_heads(query, self.heads, self.head)
        if cache is not None:
            key, value = cache.update(key, value)
        out = attend(query, key, value, mask, regime, p=self.p, upcast=False)
        out = self.c_proj(reshape(out, *x.shape[:-1], self.width))
        return self.resid_dropout(out)  # type: ignore[no-any-return]


class MLP(Module):
    """Two linear layers."""

    label = "mlp"

    def __init__(self, config: Config) -> None:
        width = config.size("D", "n_embd", "hidden_size")
        inner = config.size("F", "n_inner", default=4 * width)
        self.c_fc = TransposedLinear(width, inner)
        self.c_proj = TransposedLinear(inner, width)
        self.act = activation(config.get("activation_function", "gelu_new"))
        self.dropout = Dropout(config.get("resid_pdrop", 0.1))

    def forward(self, x: Tensor) -> Tensor:
        """(B, T, D) to (B, T, D)."""
        x = self.c_fc(x)
        x = self.act(x)
        x = self.c_proj(x)
        return self.dropout(x)  # type: ignore[no-any-return]


class Block(Module):
    """Pre-norm attention and MLP, each with a residual."""

    label = "residual stream"

    def __init__(self, config: Config) -> None:
        width = config.size("D", "n_embd", "hidden_size")
        self.ln_1 = LayerNorm(width)
        self.attn = Attention(config)
        self.ln_2 = LayerNorm(width)
        self.mlp = MLP(config)

    def forward(
        self, hidden: Tensor, cache: KeyValueCache | None, mask: Tensor | None, regime: Regime
    ) -> Tensor:
        """(B, T, D) to (B, T, D)."""
        residual = hidden
        hidden = self.ln_1(hidden)
        attended = self.attn(hidden, cache, mask, regime)
        hidden = attended + residual
        residual = hidden
        hidden = self.ln_2(hidden)
        fed_forward = self.mlp(hidden)
        return residual + fed_forward  # type: ignore[no-any-return]


class Decoder(Module):
    """Token and position embeddings, blocks, final norm."""

    def __init__(self, config: Config) -> None:
        width = config.size("D", "n_embd", "hidden_size")
        self.wte = Embedding(config.size("V", "vocab_size"), width)
        self.wpe = Embedding(config.size("P", "n_positions", "max_position_embeddings", default=1024), width)
        self.drop = Dropout(config.get("embd_pdrop", 0.1))
        self.h = Stack(config.size("L", "n_layer", "num_hidden_layers"), lambda _: Block(config))
        self.ln_f = LayerNorm(width)

    def forward(self, ids: Tensor, regime: Regime, cache: KeyValueCache | None) -> Tensor:
        """(B, T) token ids to (B, T, D)."""
        embeds = self.wte(ids)
        positions = self.wpe(ids.tape.empty((1, ids.shape[1]), INT64))
        hidden = embeds + positions
        mask = causal_mask(embeds, regime)
        hidden = self.drop(hidden)
        hidden = self.h(hidden, None if self.h.checkpointed else cache, mask, regime)
        return self.ln_f(hidden)  # type: ignore[no-any-return]


def build(config: Config, task: str) -> Model:
    """Build the model of a config for a task."""
    return build_decoder(config, task, Decoder, Head(tied=True), prefix="transformer")
