"""MPNet: BERT's layers with a bias of relative positions in every score (transformers 5.23, models/mpnet)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from vramlint.memory.dtypes import INT64
from vramlint.memory.families.bert import AddAndNorm, Intermediate
from vramlint.memory.families.encoder import bidirectional_mask
from vramlint.memory.families.layers import split_heads
from vramlint.memory.families.roberta import build_roberta, counted_positions
from vramlint.memory.families.seq2seq import shared_stack
from vramlint.memory.modules import Buffer, Dropout, Embedding, LayerNorm, Linear, Module
from vramlint.memory.operators.elementwise import add_inplace, contiguous, dropout, expand
from vramlint.memory.operators.matmul import batched
from vramlint.memory.operators.softmax import softmax
from vramlint.memory.tape import Dim, Tensor

if TYPE_CHECKING:
    from vramlint.memory.families.base import Config, Model, Regime

MODEL_TYPES = ("mpnet",)

_DEFAULTS: dict[str, Any] = {
    "vocab_size": 30_527,
    "hidden_size": 768,
    "num_hidden_layers": 12,
    "num_attention_heads": 12,
    "intermediate_size": 3072,
    "max_position_embeddings": 512,
    "relative_attention_num_buckets": 32,
    "hidden_dropout_prob": 0.1,
    "attention_probs_dropout_prob": 0.1,
}


class Embeddings(Module):
    """Token embeddings and counted positions."""

    label = "embedding"

    def __init__(self, config: Config) -> None:
        width, positions = config.size("D", "hidden_size"), config.size("P", "max_position_embeddings")
        self.word_embeddings = Embedding(config.size("V", "vocab_size"), width)
        self.position_embeddings = Embedding(positions, width)
        self.LayerNorm = LayerNorm(width)
        self.dropout = Dropout(config.get("hidden_dropout_prob"))
        self.position_ids = Buffer(1, positions, dtype=INT64)

    def forward(self, ids: Tensor) -> Tensor:
        """(B, T) token ids to (B, T, D)."""
        positions = counted_positions(ids)
        tokens = self.word_embeddings(ids)
        places = self.position_embeddings(positions)
        embeddings = tokens + places
        embeddings = self.LayerNorm(embeddings)
        return self.dropout(embeddings)  # type: ignore[no-any-return]


class SelfAttention(Module):
    """Attention written out, with a bias added in place."""

    def __init__(self, config: Config) -> None:
        width = config.size("D", "hidden_size")
        self.heads = config.size("N", "num_attention_heads")
        self.head = Dim(width // self.heads, "H")
        self.q, self.k, self.v, self.o = (Linear(width, width) for _ in range(4))
        self.p = config.get("attention_probs_dropout_prob")

    def forward(self, x: Tensor, mask: Tensor | None, bias: Tensor) -> Tensor:
        """(B, T, D) to (B, T, D)."""
        query = split_heads(self.q(x), self.heads, self.head)
        key = split_heads(self.k(x), self.heads, self.head)
        value = split_heads(self.v(x), self.heads, self.head)
        scores = batched(query, key.transposed(-1, -2))
        scores = scores * 0.125
        scores = add_inplace(scores, bias)
        if mask is not None:
            scores = scores + mask
        weights = softmax(scores)
        weights = dropout(weights, self.p)
        out = batched(weights, value)
        out = contiguous(out.transposed(1, 2)).view(*x.shape)
        return self.o(out)  # type: ignore[no-any-return]


class Attention(Module):
    """Self-attention, dropout, the residual and a norm."""

    label = "attention"

    def __init__(self, config: Config) -> None:
        self.attn = SelfAttention(config)
        self.LayerNorm = LayerNorm(config.size("D", "hidden_size"))
        self.dropout = Dropout(config.get("hidden_dropout_prob"))

    def forward(self, x: Tensor, mask: Tensor | None, bias: Tensor) -> Tensor:
        """(B, T, D) to (B, T, D)."""
        outputs = self.attn(x, mask, bias)
        return self.LayerNorm(self.dropout(outputs) + x)  # type: ignore[no-any-return]


class Layer(Module):
    """Post-norm attention and MLP."""

    def __init__(self, config: Config) -> None:
        self.attention = Attention(config)
        self.intermediate = Intermediate(config)
        self.output = AddAndNorm(config, config.size("F", "intermediate_size"))

    def forward(self, hidden: Tensor, mask: Tensor | None, bias: Tensor) -> Tensor:
        """(B, T, D) to (B, T, D)."""
        attended = self.attention(hidden, mask, bias)
        inner = self.intermediate(attended)
        return self.output(inner, attended)  # type: ignore[no-any-return]


class Encoder(Module):
    """The layers, and the bias that all of them add to their scores."""

    def __init__(self, config: Config) -> None:
        self.heads = config.size("N", "num_attention_heads")
        self.layer = shared_stack(config.size("L", "num_hidden_layers"), lambda _: Layer(config))
        self.relative_attention_bias = Embedding(config.get("relative_attention_num_buckets"), self.heads)

    def forward(self, hidden: Tensor, mask: Tensor | None) -> Tensor:
        """(B, T, D) to (B, T, D)."""
        batch, length, _ = hidden.shape
        values = self.relative_attention_bias(hidden.tape.empty((length, length), INT64))
        values = values.view(1, self.heads, length, length)
        bias = contiguous(expand(values, batch, self.heads, length, length))
        return self.layer(hidden, mask, bias)  # type: ignore[no-any-return]


class Body(Module):
    """Embeddings and encoder."""

    def __init__(self, config: Config) -> None:
        self.embeddings = Embeddings(config)
        self.encoder = Encoder(config)

    def forward(self, ids: Tensor, regime: Regime) -> Tensor:
        """(B, T) token ids to (B, T, D)."""
        embedded = self.embeddings(ids)
        return self.encoder(embedded, bidirectional_mask(embedded, regime))  # type: ignore[no-any-return]


def build(config: Config, task: str) -> Model:
    """Build the model of a config for a task."""
    config = config.completed(_DEFAULTS)
    return build_roberta(config, task, "mpnet", Body(config), config.get("hidden_dropout_prob"))
