"""Apertus: normed query and key heads, and an MLP with a learned activation (transformers 5.23, models/apertus)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vramlint.memory.dtypes import BOOL
from vramlint.memory.families import decoder
from vramlint.memory.families.decoder import FULL, Context, build_decoder
from vramlint.memory.modules import Buffer, Linear, Module, Parameter, RMSNorm, parameter_tensor
from vramlint.memory.operators.activations import activation
from vramlint.memory.operators.elementwise import (
    autocast_fp32,
    subtract,
    unary,
    unary_saving_result,
    where,
)

if TYPE_CHECKING:
    from vramlint.memory.families.base import Config, Model
    from vramlint.memory.tape import Tensor

MODEL_TYPES = ("apertus",)


class Attention(decoder.Attention):
    """Attention that normalizes queries and keys of each head."""

    def make_projections(self, config: Config) -> None:
        """Make the linear layers before and behind the attention, and the norms."""
        super().make_projections(config)
        self.q_norm = RMSNorm(self.head)
        self.k_norm = RMSNorm(self.head)

    def project(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return query, key and value of shape (B, heads, T, H)."""
        query, key, value = super().project(x)
        return self.q_norm(query), self.k_norm(key), value


class XIELU(Module):
    """xIELU as transformers writes it out where its own kernel is missing (activations.py, XIELUActivation)."""

    def __init__(self) -> None:
        self.alpha_p = Parameter(1)
        self.alpha_n = Parameter(1)
        self.beta = Buffer()
        self.eps = Buffer()

    def forward(self, x: Tensor) -> Tensor:
        """Return a quadratic for positive numbers, and a shifted exponential for the others."""
        positive = unary(parameter_tensor(self.alpha_p))
        negative = unary(parameter_tensor(self.alpha_n)) + 1.0
        mask = x.tape.empty(x.shape, BOOL)
        right = (x * positive * x) + (x * 1.0)
        left = (subtract(unary_saving_result(autocast_fp32(unary(x))), x) * negative) + (x * 1.0)
        return where(mask, right, left)


class MLP(Module):
    """`down(act(up(x)))`."""

    label = "mlp"

    def __init__(self, config: Config) -> None:
        width, inner = config.size("D", "hidden_size"), config.size("F", "intermediate_size")
        self.up_proj = Linear(width, inner, bias=False)
        self.down_proj = Linear(inner, width, bias=False)
        name = config.get("hidden_act", "xielu")
        self.act_fn = XIELU() if name == "xielu" else activation(name)

    def forward(self, x: Tensor) -> Tensor:
        """(B, T, D) to (B, T, D)."""
        return self.down_proj(self.act_fn(self.up_proj(x)))  # type: ignore[no-any-return]


class DecoderLayer(decoder.DecoderLayer):
    """Pre-norm attention and MLP."""

    def __init__(self, config: Config, kind: str = FULL) -> None:
        width = config.size("D", "hidden_size")
        self.self_attn = Attention(config, kind)
        self.mlp = MLP(config)
        self.attention_layernorm = RMSNorm(width)
        self.feedforward_layernorm = RMSNorm(width)

    def forward(self, hidden: Tensor, context: Context) -> Tensor:
        """(B, T, D) to (B, T, D)."""
        residual = hidden
        hidden = self.attention_layernorm(hidden)
        hidden = self.self_attn(hidden, context)
        hidden = residual + hidden
        residual = hidden
        hidden = self.feedforward_layernorm(hidden)
        hidden = self.mlp(hidden)
        return residual + hidden


class Decoder(decoder.Decoder):
    """Embedding, layers and final norm."""

    layer = DecoderLayer


def build(config: Config, task: str) -> Model:
    """Build the model of a config for a task."""
    return build_decoder(config, task, Decoder)
