"""DeBERTa v1: v2's layers with one projection for query, key and value, and a norm written out in operators.

transformers 5.23, models/deberta/modeling_deberta.py.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from vramlint.memory.dtypes import BOOL, FLOAT32
from vramlint.memory.families import deberta_v2 as v2
from vramlint.memory.families.layers import split_heads
from vramlint.memory.modules import LayerNorm, Linear, Module, Parameter, parameter_tensor
from vramlint.memory.operators.elementwise import (
    add_inplace,
    cast,
    contiguous,
    copy,
    dropout,
    expand,
    masked_fill,
    mean_last,
    narrow,
    power,
    split,
    subtract,
    unary_saving_result,
)
from vramlint.memory.operators.indexing import gather
from vramlint.memory.operators.matmul import batched
from vramlint.memory.operators.softmax import softmax
from vramlint.memory.tape import Dim

if TYPE_CHECKING:
    from vramlint.memory.families.base import Config, Model
    from vramlint.memory.tape import Tensor

MODEL_TYPES = ("deberta",)

_DEFAULTS: dict[str, Any] = {
    "vocab_size": 50_265,
    "hidden_size": 768,
    "num_hidden_layers": 12,
    "num_attention_heads": 12,
    "intermediate_size": 3072,
    "max_position_embeddings": 512,
    "type_vocab_size": 0,
    "position_biased_input": True,
    "hidden_dropout_prob": 0.1,
    "attention_probs_dropout_prob": 0.1,
}


class Norm(LayerNorm):
    """DebertaLayerNorm: a layer norm in fp32, operator by operator."""

    def forward(self, x: Tensor) -> Tensor:
        """Normalize the last dimension."""
        dtype = x.dtype
        x = cast(x, FLOAT32)
        mean = mean_last(x)
        variance = mean_last(power(subtract(x, mean)))
        x = subtract(x, mean) * unary_saving_result(variance + 1e-7)
        x = cast(x, dtype)
        return parameter_tensor(self.weight) * x + parameter_tensor(self.bias)


class SelfAttention(Module):
    """Disentangled self-attention."""

    def __init__(self, config: Config) -> None:
        width = config.size("D", "hidden_size")
        self.heads = config.size("N", "num_attention_heads")
        self.head = Dim(width // self.heads, "H")
        self.in_proj = Linear(width, Dim(3 * width, "3D"), bias=False)
        self.q_bias, self.v_bias = Parameter(width), Parameter(width)
        self.kinds = v2.position_kinds(config) if config.get("relative_attention", default=False) else []
        if "c2p" in self.kinds:
            self.pos_proj = Linear(width, width, bias=False)
        if "p2c" in self.kinds:
            self.pos_q_proj = Linear(width, width)
        self.most = v2.position_span(config)
        self.position_p = config.get("hidden_dropout_prob")
        self.p = config.get("attention_probs_dropout_prob")

    def _biased(self, x: Tensor, bias: Parameter) -> Tensor:
        return x + parameter_tensor(bias).view(1, self.heads, 1, self.head)

    def forward(self, x: Tensor, mask: Tensor, places: Tensor | None, positions: Tensor | None) -> Tensor:
        """(B, T, D) to (B, T, D); `places` are relative positions (1, T, T), `positions` their embeddings."""
        projected = self.in_proj(x)
        query, key, value = split(
            split_heads(projected, self.heads, Dim(3 * self.head, "3H")), (self.head,) * 3
        )
        query, value = self._biased(query, self.q_bias), self._biased(value, self.v_bias)
        query = query * 0.125
        scores = batched(query, copy(key.transposed(-1, -2)))
        bias = None
        if positions is not None and places is not None and self.kinds:
            positions = dropout(positions, self.position_p)
            bias = self._position_scores(query, key, places, positions)
            scores = scores + bias
        mask = x.tape.empty(mask.shape, BOOL)
        scores = masked_fill(scores, x.tape.empty(mask.shape, BOOL))
        weights = softmax(scores)
        weights = dropout(weights, self.p)
        out = batched(weights, copy(value))
        out = contiguous(out.transposed(1, 2))
        del bias, projected  # the function's variables live to its end
        return out.view(*x.shape)

    def _position_scores(self, query: Tensor, key: Tensor, places: Tensor, positions: Tensor) -> Tensor:
        """Return what content gives to positions and positions to content: (B, N, T, T)."""
        length = query.shape[2]
        span = min(length, self.most)
        rows = narrow(positions, 0, 2 * span).view(1, 2 * span, positions.shape[1])
        rows.contiguous = True  # whole rows
        score = None
        if "c2p" in self.kinds:
            keys = split_heads(self.pos_proj(rows), self.heads, self.head)
            content = self._looked_up(query, keys, places)
            score = content + 0.0
        if "p2c" in self.kinds:
            queries = split_heads(self.pos_q_proj(rows), self.heads, self.head)
            position = self._looked_up(key, queries, places).transposed(-1, -2)
            score = position + 0.0 if score is None else add_inplace(score, position)
        assert score is not None
        return score

    def _looked_up(self, rows: Tensor, positions: Tensor, places: Tensor) -> Tensor:
        batch, heads, length, head = rows.shape
        columns = positions.transposed(-1, -2)
        columns = copy(expand(columns, batch, heads, head, columns.shape[-1]))
        scores = batched(rows, columns)
        return gather(scores, copy(places), batch, heads, length, length)


class Attention(v2.Attention):
    """Attention, its output projection and the residual."""

    def __init__(self, config: Config) -> None:
        super().__init__(config)
        self.self = SelfAttention(config)
        self.output.LayerNorm = Norm(config.size("D", "hidden_size"))


class Layer(v2.Layer):
    """Post-norm attention and MLP."""

    def __init__(self, config: Config) -> None:
        super().__init__(config, Attention)
        self.output.LayerNorm = Norm(config.size("D", "hidden_size"))


class Body(v2.Body):
    """Embeddings and encoder."""

    def __init__(self, config: Config) -> None:
        self.embeddings = v2.Embeddings(config)
        self.embeddings.LayerNorm = Norm(config.size("D", "hidden_size"))
        self.encoder = v2.Encoder(config, Layer)


def build(config: Config, task: str) -> Model:
    """Build the model of a config for a task."""
    config = config.completed(_DEFAULTS)
    return v2.build_deberta(config, task, Body(config))
