"""OPT: learned positions, LayerNorm before or behind each block, a narrower embedding in one size (models/opt)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vramlint.memory.dtypes import FLOAT32, INT64
from vramlint.memory.families import decoder
from vramlint.memory.families.decoder import FULL, Context, Head, build_decoder
from vramlint.memory.families.layers import KeyValueCache, causal_mask, split_heads
from vramlint.memory.modules import BareLayerNorm, Embedding, LayerNorm, Linear, Module, Stack
from vramlint.memory.operators.activations import activation
from vramlint.memory.operators.elementwise import dropout
from vramlint.memory.tape import Dim, Tensor

if TYPE_CHECKING:
    from vramlint.memory.families.base import Config, Model, Regime

MODEL_TYPES = ("opt",)

_OFFSET = 2  # the first two rows of the position embedding are unused


class Attention(decoder.Attention):
    """Multi-head attention without rotary embeddings; the query is scaled before it."""

    output = "out_proj"

    def biases(self, config: Config) -> tuple[bool, bool]:
        """Return whether the projections have a bias."""
        bias = config.get("enable_bias", default=True)
        return bias, bias

    def project(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return query, key and value of shape (B, heads, T, H)."""
        query = split_heads(self.q_proj(x) * 1.0, self.heads, self.head)
        key, value = self.k_proj(x), self.v_proj(x)
        return query, split_heads(key, self.heads, self.head), split_heads(value, self.heads, self.head)

    def place(self, query: Tensor, key: Tensor, context: Context) -> tuple[Tensor, Tensor]:  # noqa: ARG002  as its siblings
        """Leave query and key as they are."""
        return query, key


def _norm(config: Config) -> Module:
    width = config.size("D", "hidden_size")
    affine = config.get("layer_norm_elementwise_affine", default=True)
    return LayerNorm(width) if affine else BareLayerNorm()


class DecoderLayer(Module):
    """Attention and MLP, each with dropout and a residual."""

    label = "residual stream"

    def __init__(self, config: Config) -> None:
        width, bias = config.size("D", "hidden_size"), config.get("enable_bias", default=True)
        inner = config.size("F", "ffn_dim", default=3072)
        self.self_attn = Attention(config)
        self.first = config.get("do_layer_norm_before", default=True)
        self.p = config.get("dropout", 0.1)
        self.act = activation(config.get("activation_function", "relu"))
        self.self_attn_layer_norm = _norm(config)
        self.fc1 = Linear(width, inner, bias=bias)
        self.fc2 = Linear(inner, width, bias=bias)
        self.fc1.label = self.fc2.label = "mlp"
        self.final_layer_norm = _norm(config)

    def forward(self, hidden: Tensor, context: Context) -> Tensor:
        """(B, T, D) to (B, T, D)."""
        residual = hidden
        if self.first:
            hidden = self.self_attn_layer_norm(hidden)
        hidden = self.self_attn(hidden, context)
        hidden = dropout(hidden, self.p)
        hidden = residual + hidden
        if not self.first:
            hidden = self.self_attn_layer_norm(hidden)
        residual = hidden
        if self.first:
            hidden = self.final_layer_norm(hidden)
        hidden = self.fc1(hidden)
        hidden = self.act(hidden)
        hidden = self.fc2(hidden)
        hidden = dropout(hidden, self.p)
        hidden = residual + hidden
        return hidden if self.first else self.final_layer_norm(hidden)


class Decoder(Module):
    """Token and position embeddings, layers, final norm; projections where the embedding is narrower."""

    def __init__(self, config: Config) -> None:
        width = config.size("D", "hidden_size")
        inner = config.size("E", "word_embed_proj_dim", default=width)
        self.embed_tokens = Embedding(config.size("V", "vocab_size"), inner)
        positions = config.get("max_position_embeddings", 2048) + _OFFSET
        self.embed_positions = Embedding(Dim(positions, "P"), width)
        if inner != width:
            self.project_out = Linear(width, inner, bias=False)
            self.project_in = Linear(inner, width, bias=False)
        if config.get("do_layer_norm_before", default=True) and not config.get("_remove_final_layer_norm"):
            self.final_layer_norm = _norm(config)
        self.layers = Stack(config.size("L", "num_hidden_layers"), lambda _: DecoderLayer(config))

    def forward(self, ids: Tensor, regime: Regime, cache: KeyValueCache | None) -> Tensor:
        """(B, T) token ids to (B, T, D)."""
        parts = vars(self)
        embeds = self.embed_tokens(ids)
        ones = ids.tape.empty(ids.shape, FLOAT32)
        mask = causal_mask(embeds, regime)
        places = self.embed_positions(ids.tape.empty(ids.shape, INT64))
        if "project_in" in parts:
            embeds = self.project_in(embeds)
        hidden = embeds + places
        context = Context(regime, None if self.layers.checkpointed else cache, {FULL: mask})
        hidden = self.layers(hidden, context)
        del ones  # the function's variable lives to its end
        if "final_layer_norm" in parts:
            hidden = self.final_layer_norm(hidden)
        return self.project_out(hidden) if "project_out" in parts else hidden  # type: ignore[no-any-return]


class Body(Module):
    """What transformers calls `OPTModel`: only the decoder."""

    def __init__(self, config: Config) -> None:
        self.decoder = Decoder(config)

    def forward(self, ids: Tensor, regime: Regime, cache: KeyValueCache | None) -> Tensor:
        """(B, T) token ids to (B, T, D)."""
        return self.decoder(ids, regime, cache)  # type: ignore[no-any-return]


def build(config: Config, task: str) -> Model:
    """Build the model of a config for a task."""
    return build_decoder(config, task, Body, Head(tied=True))
