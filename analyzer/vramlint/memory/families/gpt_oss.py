"""gpt-oss: attention with sinks, experts with biases and clamped gates (models/gpt_oss)."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from vramlint.memory.families import decoder
from vramlint.memory.families.decoder import Context, build_decoder, patterned_kinds
from vramlint.memory.families.layers import KeyValueCache, Rotary, attend
from vramlint.memory.modules import Module, Parameter, parameter_tensor
from vramlint.memory.operators.attention import repeat_heads
from vramlint.memory.operators.elementwise import (
    cast,
    concatenate,
    contiguous,
    dropout,
    expand,
    less_largest,
    multiply,
    narrow,
    reshape,
    split,
    subtract,
    unary,
    unary_saving_result,
)
from vramlint.memory.operators.indexing import take_rows
from vramlint.memory.operators.matmul import batched, linear
from vramlint.memory.operators.routing import grouped_linear_in_out, sort_by_expert, sum_experts, top_k
from vramlint.memory.operators.softmax import softmax
from vramlint.memory.tape import Dim, Tensor

if TYPE_CHECKING:
    from vramlint.memory.families.base import Config, Model, Regime

MODEL_TYPES = ("gpt_oss",)

_PERIOD = 2


def _turn(x: Tensor, cosine: Tensor, sine: Tensor) -> Tensor:
    half = x.shape[-1] // 2
    cosine, sine = (part.view(1, *part.shape) for part in (cosine, sine))
    first, second = split(x, (half, half))
    return concatenate([subtract(first * cosine, second * sine), (second * cosine) + (first * sine)], -1)


class Attention(decoder.Attention):
    """Grouped-query attention whose softmax has one more column, a learned sink per head."""

    def make_projections(self, config: Config) -> None:
        """Make the linear layers before and behind the attention, and the sinks."""
        super().make_projections(config)
        self.sinks = Parameter(self.heads)

    def biases(self, config: Config) -> tuple[bool, bool]:
        """Return whether the projections have a bias."""
        bias = config.get("attention_bias", default=True)
        return bias, bias

    def place(self, query: Tensor, key: Tensor, context: Context) -> tuple[Tensor, Tensor]:
        """Give query and key their positions."""
        positions = context.positions[self.kind]
        return _turn(query, *positions), _turn(key, *positions)

    def forward(self, x: Tensor, context: Context) -> Tensor:
        """(B, T, D) to (B, T, D)."""
        query, key, value = self.project(x)
        query, key = self.place(query, key, context)
        if context.cache is not None:
            key, value = context.cache.update(key, value)
        if context.regime.attention != "eager":
            out = attend(query, key, value, context.masks[self.kind], context.regime, p=self.p)
        else:
            out = self.eager(query, key, value, context.masks[self.kind])
        return getattr(self, self.output)(reshape(out, *x.shape[:-1], self.queries))  # type: ignore[no-any-return]

    def eager(self, query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None) -> Tensor:
        """Attention written out, with the sinks as a last column."""
        batch, _, length, _ = query.shape
        key, value = repeat_heads(key, self.heads), repeat_heads(value, self.heads)
        weights = batched(query, contiguous(key).transposed(2, 3)) * 1.0
        if mask is not None:
            weights = weights + mask
        sinks = parameter_tensor(self.sinks).view(1, self.heads, 1, 1)
        logits = concatenate([weights, expand(sinks, batch, self.heads, length, 1)], -1)
        logits = less_largest(logits)
        scores = narrow(softmax(logits, logits.dtype), -1, length)
        attended = cast(dropout(scores, self.p), value.dtype)
        attended.contiguous = True  # the product takes rows with a stride
        return contiguous(batched(attended, contiguous(value)).transposed(1, 2))


class Router(Module):
    """The best logits, then their softmax."""

    label = "router"

    def __init__(self, config: Config, experts: int) -> None:
        self.count = config.get("num_experts_per_tok", 4)
        self.weight = Parameter(experts, config.size("D", "hidden_size"))
        self.bias = Parameter(experts)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """(tokens, D) to scores and indices of shape (tokens, experts per token)."""
        logits = linear(x, parameter_tensor(self.weight), parameter_tensor(self.bias))
        best, indices = top_k(logits, self.count)
        return softmax(best, best.dtype), indices


class Experts(Module):
    """The gated MLPs of all experts, their weights stacked as (in, out), with biases."""

    label = "experts"

    def __init__(self, config: Config, experts: int) -> None:
        width, inner = config.size("D", "hidden_size"), config.size("F", "intermediate_size")
        self.gate_up_proj = Parameter(experts, width, Dim(2 * inner, "2F"))
        self.gate_up_proj_bias = Parameter(experts, Dim(2 * inner, "2F"))
        self.down_proj = Parameter(experts, inner, width)
        self.down_proj_bias = Parameter(experts, width)

    def forward(self, x: Tensor, scores: Tensor, indices: Tensor) -> Tensor:
        """(tokens, D) to (tokens, D)."""
        rows, chosen, permutation = sort_by_expert(x, indices, scores)
        bias = self.chosen(self.gate_up_proj_bias, permutation)
        out = grouped_linear_in_out(rows, parameter_tensor(self.gate_up_proj), bias)
        out = self.gated(out)
        bias = self.chosen(self.down_proj_bias, permutation)
        out = grouped_linear_in_out(out, parameter_tensor(self.down_proj), bias)
        weighted = multiply(out, chosen.view(chosen.shape[0], 1))
        summed = sum_experts(weighted, indices.shape[-1])
        del bias, permutation  # the function's variables live to its end
        return cast(summed, x.dtype)

    def chosen(self, bias: Parameter, indices: Tensor) -> Tensor:
        """Return the bias of each row's expert."""
        return take_rows(parameter_tensor(bias), (indices,), indices.shape[0], bias.shape[1])

    def gated(self, x: Tensor) -> Tensor:
        """(rows, 2F) to (rows, F)."""
        half = x.shape[-1] // 2
        gate, up = narrow(x, -1, half), narrow(x, -1, half)
        gate, up = unary(gate), unary(up)
        glu = gate * unary_saving_result(gate * 1.0)
        return (up + 1.0) * glu


class Block(Module):
    """A router and its experts."""

    label = "experts"

    def __init__(self, config: Config) -> None:
        experts = config.size("E", "num_local_experts", default=128)
        self.router = Router(config, experts)
        self.experts = Experts(config, experts)

    def forward(self, x: Tensor) -> Tensor:
        """(B, T, D) to (B, T, D)."""
        batch, length, width = x.shape
        x = x.view(batch * length, width)
        scores, indices = self.router(x)
        return self.experts(x, scores, indices).view(batch, length, width)  # type: ignore[no-any-return]


class DecoderLayer(decoder.DecoderLayer):
    """Pre-norm attention and experts."""

    attention = Attention
    feed_forward = Block


class Decoder(decoder.Decoder):
    """Embedding, layers and final norm; every other layer slides."""

    layer = DecoderLayer

    def kinds(self, config: Config, count: int) -> list[str]:
        """Return the kind of attention of each layer."""
        return patterned_kinds(config, count, _PERIOD)

    def window(self, config: Config) -> int | None:
        """Return how many tokens a sliding layer sees."""
        return config.get("sliding_window", 128)  # type: ignore[no-any-return]

    def make_rotary(self, config: Config) -> Module:
        """Return the rotary embedding: cosines and sines of half a head."""
        return HalfRotary(decoder.head_size(config))

    def forward(self, ids: Tensor, regime: Regime, cache: KeyValueCache | None) -> Tensor:
        """(B, T) token ids to (B, T, D); SDPA has no sinks, so that it falls back to eager attention."""
        if regime.attention == "sdpa":
            regime = replace(regime, attention="eager")
        return super().forward(ids, regime, cache)


class HalfRotary(Rotary):
    """Rotary embeddings whose cosines and sines are not repeated for the second half of a head."""

    def __init__(self, size: int) -> None:
        super().__init__(size)
        self.size = size // 2


def build(config: Config, task: str) -> Model:
    """Build the model of a config for a task."""
    return build_decoder(config, task, Decoder)
