"""Granite with experts, and with one that all tokens pass (models/granitemoe, granitemoeshared)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vramlint.memory.dtypes import FLOAT32
from vramlint.memory.families import decoder, granite
from vramlint.memory.families.decoder import FULL, Context, Head, build_decoder, scaled
from vramlint.memory.families.experts import Experts, Router
from vramlint.memory.modules import Linear, Module, RMSNorm, parameter_tensor
from vramlint.memory.operators.activations import activation
from vramlint.memory.operators.elementwise import cast, split
from vramlint.memory.operators.matmul import linear
from vramlint.memory.operators.routing import top_k
from vramlint.memory.operators.softmax import softmax
from vramlint.memory.tape import Dim, Tensor

if TYPE_CHECKING:
    from vramlint.memory.families.base import Config, Model

MODEL_TYPES = ("granitemoe", "granitemoeshared")


class LogitRouter(Router):
    """A router that takes the best logits, then their softmax."""

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """(tokens, D) to scores and indices of shape (tokens, experts per token)."""
        logits = cast(linear(x, parameter_tensor(self.weight)), FLOAT32)
        best, indices = top_k(logits, self.count)
        return cast(softmax(best), x.dtype), indices


class Block(Module):
    """A router and its experts."""

    label = "experts"

    def __init__(self, config: Config) -> None:
        experts = config.size("E", "num_local_experts", default=8)
        self.router = LogitRouter(config, experts)
        self.experts = Experts(config, experts, config.size("F", "intermediate_size"))

    def forward(self, x: Tensor) -> Tensor:
        """(B, T, D) to (B, T, D)."""
        batch, length, width = x.shape
        x = x.view(batch * length, width)
        scores, indices = self.router(x)
        return self.experts(x, scores, indices).view(batch, length, width)  # type: ignore[no-any-return]


class SharedMLP(Module):
    """A gated MLP whose first layer makes both halves."""

    label = "mlp"

    def __init__(self, config: Config, inner: int) -> None:
        width = config.size("D", "hidden_size")
        self.inner = inner
        self.input_linear = Linear(width, Dim(2 * inner, "2S"), bias=False)
        self.output_linear = Linear(inner, width, bias=False)
        self.act = activation(config.get("hidden_act", "silu"))

    def forward(self, x: Tensor) -> Tensor:
        """(B, T, D) to (B, T, D)."""
        x = self.input_linear(x)
        gate, up = split(x, (self.inner, self.inner))
        x = self.act(gate) * up
        return self.output_linear(x)  # type: ignore[no-any-return]


class DecoderLayer(Module):
    """Pre-norm attention and experts, whose outputs are scaled."""

    label = "residual stream"

    def __init__(self, config: Config, kind: str = FULL) -> None:
        width = config.size("D", "hidden_size")
        self.self_attn = decoder.Attention(config, kind)
        self.input_layernorm = RMSNorm(width)
        self.post_attention_layernorm = RMSNorm(width)
        self.block_sparse_moe = Block(config)
        shared = config.get("shared_intermediate_size", 0)
        self.shared_mlp = SharedMLP(config, Dim(shared, "S")) if shared else None

    def forward(self, hidden: Tensor, context: Context) -> Tensor:
        """(B, T, D) to (B, T, D)."""
        residual = hidden
        hidden = self.input_layernorm(hidden)
        hidden = self.self_attn(hidden, context)
        hidden = residual + hidden * 1.0
        residual = hidden
        hidden = self.post_attention_layernorm(hidden)
        experts = self.block_sparse_moe(hidden)
        hidden = experts if self.shared_mlp is None else experts + self.shared_mlp(hidden)
        return residual + hidden * 1.0


class Decoder(granite.Decoder):
    """Scaled embedding, layers and final norm."""

    layer = DecoderLayer


def build(config: Config, task: str) -> Model:
    """Build the model of a config for a task."""
    return build_decoder(config, task, Decoder, Head(adjust=scaled))
