"""XGLM: OPT's layer with sinusoidal positions, and attention written out over (rows·heads) (models/xglm)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vramlint.memory.dtypes import BOOL, FLOAT16, FLOAT32, INT64
from vramlint.memory.families.decoder import FULL, Context, Head, build_decoder
from vramlint.memory.families.layers import KeyValueCache, split_heads
from vramlint.memory.modules import Embedding, FloatBuffer, LayerNorm, Linear, Module, Parameter, Stack
from vramlint.memory.operators.activations import activation
from vramlint.memory.operators.elementwise import cast, contiguous, copy, dropout
from vramlint.memory.operators.matmul import batched
from vramlint.memory.operators.softmax import softmax
from vramlint.memory.tape import Dim, Gradients, Node, Tensor

if TYPE_CHECKING:
    from vramlint.memory.families.base import Config, Model, Regime

MODEL_TYPES = ("xglm",)

_OFFSET = 2
_DEFAULTS = {
    "vocab_size": 256_008,
    "max_position_embeddings": 2048,
    "d_model": 1024,
    "ffn_dim": 4096,
    "num_layers": 24,
    "attention_heads": 16,
    "activation_function": "gelu",
    "dropout": 0.1,
    "attention_dropout": 0.1,
    "activation_dropout": 0.0,
}


def at_least(x: Tensor) -> Tensor:
    """`torch.max(x, smallest)`: saves both; backward halves the gradient where they are equal (maximum)."""
    smallest = x.tape.empty((), x.dtype)
    out = x.tape.empty(x.shape, x.dtype)
    return x.tape.record(out, (x,), _at_least_backward, (x, smallest))


def _at_least_backward(node: Node, grads: Gradients) -> Gradients:
    grad, x = grads[0], node.saved[0]
    assert grad is not None
    equal = x.tape.empty(x.shape, BOOL)
    half = x.tape.empty(x.shape, grad.dtype)
    result = x.tape.empty(x.shape, grad.dtype)
    less = x.tape.empty(x.shape, BOOL)
    del equal, half, less
    return (result,)


class Attention(Module):
    """Multi-head attention on (rows·heads, T, H)."""

    label = "attention"

    def __init__(self, config: Config) -> None:
        self.width, self.heads = config.size("D", "d_model"), config.size("N", "attention_heads")
        self.head = Dim(self.width // self.heads, "H")
        self.k_proj, self.v_proj, self.q_proj, self.out_proj = (
            Linear(self.width, self.width) for _ in range(4)
        )
        self.p = config.get("attention_dropout")

    def forward(self, x: Tensor, context: Context) -> Tensor:
        """(B, T, D) to (B, T, D)."""
        rows, length, _ = x.shape
        query = self.q_proj(x) * 1.0
        key, value = self.k_proj(x), self.v_proj(x)
        key, value = split_heads(key, self.heads, self.head), split_heads(value, self.heads, self.head)
        if context.cache is not None:
            key, value = context.cache.update(key, value)
        query = contiguous(split_heads(query, self.heads, self.head))
        key, value = contiguous(key), contiguous(value)
        weights = batched(query, key.transposed(2, 3))
        mask = context.masks[FULL]
        if mask is not None:
            weights = weights + mask
            weights = at_least(weights)
        weights = cast(softmax(weights, FLOAT32), FLOAT16) if weights.dtype is FLOAT16 else softmax(weights)
        chosen = dropout(weights, self.p)
        out = batched(chosen, value)
        out = copy(out.transposed(1, 2)).view(rows, length, self.width)
        return self.out_proj(out)  # type: ignore[no-any-return]


class DecoderLayer(Module):
    """Pre-norm attention and MLP, each with dropout and a residual."""

    label = "residual stream"

    def __init__(self, config: Config) -> None:
        width, inner = config.size("D", "d_model"), config.size("F", "ffn_dim")
        self.self_attn = Attention(config)
        self.p, self.inner_p = config.get("dropout"), config.get("activation_dropout")
        self.act = activation(config.get("activation_function"))
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
        hidden = self.act(self.fc1(hidden))
        hidden = dropout(hidden, self.inner_p)
        hidden = self.fc2(hidden)
        hidden = dropout(hidden, self.p)
        return residual + hidden


class Positions(Module):
    """Sinusoids in a buffer."""

    def __init__(self, config: Config, like: Parameter) -> None:
        rows = config.get("max_position_embeddings") + _OFFSET
        self.weights = FloatBuffer(Dim(rows, "P"), config.size("D", "d_model"), like=like)


class Decoder(Module):
    """Token embeddings with positions, layers, final norm."""

    def __init__(self, config: Config) -> None:
        width = config.size("D", "d_model")
        self.embed_tokens = Embedding(config.size("V", "vocab_size"), width)
        self.embed_positions = Positions(config, self.embed_tokens.weight)
        self.layers = Stack(config.size("L", "num_layers"), lambda _: DecoderLayer(config))
        self.layer_norm = LayerNorm(width)
        self.p = config.get("dropout")

    def forward(self, ids: Tensor, regime: Regime, cache: KeyValueCache | None) -> Tensor:
        """(B, T) token ids to (B, T, D)."""
        tape, (rows, length) = ids.tape, ids.shape
        embeds = self.embed_tokens(ids) * 1.0
        mask = tape.empty((rows, 1, length, Dim(length, "T")), embeds.dtype)
        positions = tape.empty((1, length), INT64)
        places = tape.empty((1, length, embeds.shape[2]), self.embed_positions.weights.dtype)
        hidden = embeds + places
        del places
        hidden = dropout(hidden, self.p)
        context = Context(regime, None if self.layers.checkpointed else cache, {FULL: mask})
        hidden = self.layers(hidden, context)
        del positions, embeds  # the function's variables live to its end
        return self.layer_norm(hidden)  # type: ignore[no-any-return]


def build(config: Config, task: str) -> Model:
    """Build the model of a config for a task."""
    return build_decoder(config.completed(_DEFAULTS), task, Decoder, Head(tied=True))
