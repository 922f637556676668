"""Phi 3.5 with experts, chosen one after the other by SparseMixer (transformers 5.23, models/phimoe)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vramlint.memory.dtypes import BOOL, INT64
from vramlint.memory.families import decoder
from vramlint.memory.families.decoder import Head, build_decoder
from vramlint.memory.families.experts import Experts
from vramlint.memory.modules import LayerNorm, Linear, Module
from vramlint.memory.operators.elementwise import (
    concatenate,
    dropout_inplace,
    masked_fill,
    unary_saving_result,
)
from vramlint.memory.operators.softmax import softmax

if TYPE_CHECKING:
    from vramlint.memory.families.base import Config, Model
    from vramlint.memory.tape import Gradients, Node, Tensor

MODEL_TYPES = ("phimoe",)


def _chosen(scores: Tensor, gates: Tensor) -> tuple[Tensor, Tensor]:
    """Return an expert for each token, drawn among the best, and its factor; saves the gates."""
    tape, shape = scores.tape, (scores.shape[0], 1)
    gates = softmax(masked_fill(gates, tape.empty(scores.shape, BOOL)))
    index = tape.empty(shape, INT64)
    factor = tape.empty(shape, gates.dtype)
    kept = (tape.empty(shape, gates.dtype), index, gates.detached())
    return tape.record(factor, (scores,), _mixed, kept), index


def _mixed(node: Node, grads: Gradients) -> Gradients:
    grad = grads[0]
    assert grad is not None
    scaled = grad.tape.empty(grad.shape, grad.dtype)
    negated = grad.tape.empty(grad.shape, grad.dtype)
    result = grad.tape.empty(node.inputs[0][2], grad.dtype)
    del scaled, negated
    return (result,)


class Router(Linear):
    """Two experts per token, each drawn among those whose score is near the best."""

    label = "router"

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:  # type: ignore[override]
        """(tokens, D) to scores and indices of shape (tokens, 2)."""
        scores = super().forward(x)
        first, index = _chosen(scores, scores)
        without = unary_saving_result(scores)
        second, other = _chosen(scores, without)
        return concatenate([first, second], -1), concatenate([index, other], -1)


class Block(Module):
    """A router and its experts; noise is put on what they get."""

    label = "experts"

    def __init__(self, config: Config) -> None:
        experts = config.size("E", "num_local_experts", default=16)
        self.noise = config.get("input_jitter_noise", 0.0)
        self.router = Router(config.size("D", "hidden_size"), experts, bias=False)
        self.experts = Experts(config, experts, config.size("F", "intermediate_size"))

    def forward(self, x: Tensor) -> Tensor:
        """(B, T, D) to (B, T, D)."""
        batch, length, width = x.shape
        x = dropout_inplace(x, self.noise).view(batch * length, width)
        x = dropout_inplace(x, self.noise)
        scores, indices = self.router(x)
        return self.experts(x, scores, indices).view(batch, length, width)  # type: ignore[no-any-return]


class DecoderLayer(decoder.DecoderLayer):
    """Pre-norm attention and experts."""

    feed_forward = Block
    norm = LayerNorm


class Decoder(decoder.Decoder):
    """Embedding, layers and final norm."""

    layer = DecoderLayer
    norm_type = LayerNorm

    def kinds(self, config: Config, count: int) -> list[str]:
        """Return the kind of attention of each layer: all slide where there is a window."""
        return [decoder.SLIDING if self.window(config) else decoder.FULL] * count


def build(config: Config, task: str) -> Model:
    """Build the model of a config for a task."""
    bias = bool(config.get("lm_head_bias", default=False))
    return build_decoder(config, task, Decoder, Head(bias=bias))
