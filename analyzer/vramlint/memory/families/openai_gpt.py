"""The first GPT: norms behind each block, attention written out against a mask in a buffer (models/openai)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vramlint.memory.dtypes import INT64
from vramlint.memory.families.decoder import Head, build_decoder
from vramlint.memory.families.layers import split_heads
from vramlint.memory.modules import (
    Buffer,
    Dropout,
    Embedding,
    FloatBuffer,
    LayerNorm,
    Module,
    Stack,
    TransposedLinear,
)
from vramlint.memory.operators.activations import activation
from vramlint.memory.operators.elementwise import contiguous, copy, dropout, multiply, split
from vramlint.memory.operators.matmul import batched
from vramlint.memory.operators.softmax import softmax
from vramlint.memory.tape import Dim, Tensor

if TYPE_CHECKING:
    from vramlint.memory.families.base import Config, Model, Regime
    from vramlint.memory.families.layers import KeyValueCache

MODEL_TYPES = ("openai-gpt",)

_DEFAULTS = {
    "vocab_size": 40_478,
    "n_positions": 512,
    "n_embd": 768,
    "n_layer": 12,
    "n_head": 12,
    "afn": "gelu",
    "resid_pdrop": 0.1,
    "embd_pdrop": 0.1,
    "attn_pdrop": 0.1,
}
_ACTIVATIONS = {"gelu": "gelu_new"}


class Attention(Module):
    """Multi-head attention with its triangle in a buffer of each layer."""

    label = "attention"

    def __init__(self, config: Config) -> None:
        width, places = config.size("D", "n_embd"), config.get("n_positions")
        self.width, self.heads = width, config.size("N", "n_head")
        self.c_attn = TransposedLinear(width, Dim(3 * width, "3D"))
        self.c_proj = TransposedLinear(width, width)
        self.bias = FloatBuffer(1, 1, places, places, like=self.c_attn.weight)
        self.p, self.out_p = config.get("attn_pdrop"), config.get("resid_pdrop")

    def forward(self, x: Tensor) -> Tensor:
        """(B, T, D) to (B, T, D)."""
        size = Dim(self.width // self.heads, "H")
        parts = split(self.c_attn(x), (self.width,) * 3)
        query, key, value = (split_heads(part, self.heads, size) for part in parts)
        weights = batched(query, contiguous(key).transposed(2, 3)) * 1.0
        weights = multiply(weights, self._triangle(x)) + self._outside(x)
        weights = dropout(softmax(weights), self.p)
        out = copy(batched(weights, contiguous(value)).transposed(1, 2)).view(*x.shape)
        out = self.c_proj(out)
        return dropout(out, self.out_p)

    def _triangle(self, x: Tensor) -> Tensor:
        """Return the part of the buffer that these tokens need: a view."""
        whole, length = self.bias.tensor, x.shape[1]
        assert whole is not None
        return Tensor((1, 1, length, length), whole.dtype, whole.storage, contiguous=False)

    def _outside(self, x: Tensor) -> Tensor:
        """Return `-1e4 * (1 - b)`."""
        length, triangle = x.shape[1], self._triangle(x)
        inverted = x.tape.empty((1, 1, length, length), triangle.dtype)
        return inverted * 1.0


class MLP(Module):
    """Two linear layers."""

    label = "mlp"

    def __init__(self, config: Config) -> None:
        width, name = config.size("D", "n_embd"), config.get("afn")
        self.c_fc = TransposedLinear(width, Dim(4 * width, "F"))
        self.c_proj = TransposedLinear(Dim(4 * width, "F"), width)
        self.act = activation(_ACTIVATIONS.get(name, name))
        self.dropout = Dropout(config.get("resid_pdrop"))

    def forward(self, x: Tensor) -> Tensor:
        """(B, T, D) to (B, T, D)."""
        return self.dropout(self.c_proj(self.act(self.c_fc(x))))  # type: ignore[no-any-return]


class Block(Module):
    """Attention and MLP, each with a residual and a norm behind."""

    label = "residual stream"

    def __init__(self, config: Config) -> None:
        width = config.size("D", "n_embd")
        self.attn = Attention(config)
        self.ln_1 = LayerNorm(width)
        self.mlp = MLP(config)
        self.ln_2 = LayerNorm(width)

    def forward(self, x: Tensor) -> Tensor:
        """(B, T, D) to (B, T, D)."""
        attended = self.attn(x)
        normed = self.ln_1(x + attended)
        out = self.mlp(normed)
        return self.ln_2(normed + out)  # type: ignore[no-any-return]


class Decoder(Module):
    """Token and position embeddings, and layers."""

    def __init__(self, config: Config) -> None:
        width, places = config.size("D", "n_embd"), config.size("P", "n_positions")
        self.tokens_embed = Embedding(config.size("V", "vocab_size"), width)
        self.positions_embed = Embedding(places, width)
        self.position_ids = Buffer(places, dtype=INT64)
        self.h = Stack(config.size("L", "n_layer"), lambda _: Block(config))
        self.p = config.get("embd_pdrop")

    def forward(self, ids: Tensor, regime: Regime, cache: KeyValueCache | None) -> Tensor:  # noqa: ARG002  it has one way
        """(B, T) token ids to (B, T, D)."""
        assert self.position_ids.tensor is not None
        embeds = self.tokens_embed(ids)
        places = self.positions_embed(self.position_ids.tensor.view(1, ids.shape[1]))
        hidden = dropout(embeds + places + 0.0, self.p)
        hidden = self.h(hidden)
        del embeds, places  # the function's variables live to its end
        return hidden  # type: ignore[no-any-return]


def build(config: Config, task: str) -> Model:
    """Build the model of a config for a task."""
    return build_decoder(config.completed(_DEFAULTS), task, Decoder, Head(tied=True), prefix="transformer")
