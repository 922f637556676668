"""BioGPT: OPT's layer with learned positions and scaled embeddings (transformers 5.23, models/biogpt)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vramlint.memory.dtypes import INT64
from vramlint.memory.families import decoder
from vramlint.memory.families.decoder import FULL, Context, Head, build_decoder
from vramlint.memory.families.layers import KeyValueCache, attend, causal_mask
from vramlint.memory.modules import Embedding, LayerNorm, Linear, Module, Stack
from vramlint.memory.operators.activations import activation
from vramlint.memory.operators.elementwise import dropout, reshape
from vramlint.memory.tape import Dim, Tensor

if TYPE_CHECKING:
    from vramlint.memory.families.base import Config, Model, Regime

MODEL_TYPES = ("biogpt",)

_OFFSET = 2  # the first two rows of the position embedding are unused
_DEFAULTS = {
    "vocab_size": 42_384,
    "hidden_size": 1024,
    "num_hidden_layers": 24,
    "num_attention_heads": 16,
    "intermediate_size": 4096,
    "hidden_act": "gelu",
    "hidden_dropout_prob": 0.1,
    "attention_probs_dropout_prob": 0.1,
    "activation_dropout": 0.0,
    "max_position_embeddings": 1024,
}


class Attention(decoder.Attention):
    """Multi-head attention without rotary embeddings."""

    output = "out_proj"

    def biases(self, config: Config) -> tuple[bool, bool]:  # noqa: ARG002  as its siblings
        """Return that all projections have a bias."""
        return True, True

    def forward(self, x: Tensor, context: Context) -> Tensor:
        """(B, T, D) to (B, T, D)."""
        query, key, value = self.project(x)
        if context.cache is not None:
            key, value = context.cache.update(key, value)
        out = attend(query, key, value, context.masks[FULL], context.regime, p=self.p, upcast=False)
        return getattr(self, self.output)(reshape(out, *x.shape))  # type: ignore[no-any-return]


class DecoderLayer(Module):
    """Pre-norm attention and MLP, each with dropout and a residual."""

    label = "residual stream"

    def __init__(self, config: Config) -> None:
        width, inner = config.size("D", "hidden_size"), config.size("F", "intermediate_size")
        self.self_attn = Attention(config)
        self.self_attn.p = config.get("attention_probs_dropout_prob")
        self.p, self.inner_p = config.get("hidden_dropout_prob"), config.get("activation_dropout")
        self.act = activation(config.get("hidden_act"))
        self.self_attn_layer_norm = LayerNorm(width)
        self.fc1, self.fc2 = Linear(width, inner), Linear(inner, width)
        self.fc1.label = self.fc2.label = "mlp"
        self.final_layer_norm = LayerNorm(width)

    def forward(self, hidden: Tensor, context: Context) -> Tensor:
        """(B, T, D) to (B, T, D)."""
        residual = hidden
        hidden = self.self_attn_layer_norm(hidden)
        hidden = self.self_attn(hidden, context)
        hidden = dropout(hidden, self.p)
        hidden = residual + hidden
        residual = hidden
        hidden = self.final_layer_norm(hidden)
        hidden = self.fc1(hidden)
        hidden = self.act(hidden)
        hidden = dropout(hidden, self.inner_p)
        hidden = self.fc2(hidden)
        hidden = dropout(hidden, self.p)
        return residual + hidden


class Decoder(Module):
    """Token and position embeddings, layers, final norm."""

    def __init__(self, config: Config) -> None:
        width = config.size("D", "hidden_size")
        self.embed_tokens = Embedding(config.size("V", "vocab_size"), width)
        positions = config.get("max_position_embeddings") + _OFFSET
        self.embed_positions = Embedding(Dim(positions, "P"), width)
        self.layers = Stack(config.size("L", "num_hidden_layers"), lambda _: DecoderLayer(config))
        self.layer_norm = LayerNorm(width)
        self.p = config.get("hidden_dropout_prob")

    def forward(self, ids: Tensor, regime: Regime, cache: KeyValueCache | None) -> Tensor:
        """(B, T) token ids to (B, T, D)."""
        embeds = self.embed_tokens(ids) * 1.0
        ones = ids.tape.empty(ids.shape, INT64)
        positions = ids.tape.empty(ids.shape, INT64)
        places = self.embed_positions(ids.tape.empty(ids.shape, INT64))
        mask = causal_mask(embeds, regime)
        hidden = dropout(embeds + places, self.p)
        context = Context(regime, None if self.layers.checkpointed else cache, {FULL: mask})
        hidden = self.layers(hidden, context)
        del ones, positions  # the function's variables live to its end
        return self.layer_norm(hidden)  # type: ignore[no-any-return]


def build(config: Config, task: str) -> Model:
    """Build the model of a config for a task."""
    return build_decoder(config.completed(_DEFAULTS), task, Decoder, Head(tied=True), prefix="biogpt")
