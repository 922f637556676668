"""Phi-3 and Phi-4: Llama's layer with fused projections and dropout on the residual branches.

transformers 5.23, models/phi3/modeling_phi3.py.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from vramlint.memory.families import decoder
from vramlint.memory.families.decoder import FULL, SLIDING, Context, build_decoder
from vramlint.memory.families.layers import attend, rotate_part, split_heads
from vramlint.memory.modules import Dropout, Linear, Module, RMSNorm
from vramlint.memory.operators.activations import activation
from vramlint.memory.operators.elementwise import narrow, reshape, split
from vramlint.memory.tape import Dim, Tensor

if TYPE_CHECKING:
    from vramlint.memory.families.base import Config, Model

MODEL_TYPES = ("phi3",)


class Attention(Module):
    """Attention with one projection for query, key and value."""

    label = "attention"

    def __init__(self, config: Config, kind: str) -> None:
        self.kind = kind
        width = config.size("D", "hidden_size")
        self.heads = config.size("N", "num_attention_heads")
        self.groups = config.size("K", "num_key_value_heads", default=self.heads)
        self.head = config.size("H", "head_dim", default=width // self.heads)
        queries, keys = Dim(self.heads * self.head, "N·H"), Dim(self.groups * self.head, "K·H")
        self.sizes = (queries, keys, keys)
        self.o_proj = Linear(queries, width, bias=False)
        self.qkv_proj = Linear(width, Dim(queries + 2 * keys, "(N+2K)·H"), bias=False)
        self.p = config.get("attention_dropout", 0.0)

    def forward(self, x: Tensor, context: Context) -> Tensor:
        """(B, T, D) to (B, T, D)."""
        qkv = self.qkv_proj(x)
        query, key, value = (narrow(qkv, -1, size) for size in self.sizes)
        query = split_heads(query, self.heads, self.head)
        key = split_heads(key, self.groups, self.head)
        value = split_heads(value, self.groups, self.head)
        positions = context.positions[self.kind]
        query, key = rotate_part(query, *positions), rotate_part(key, *positions)
        if context.cache is not None:
            key, value = context.cache.update(key, value)
        out = attend(query, key, value, context.masks[self.kind], context.regime, p=self.p)
        return self.o_proj(reshape(out, *x.shape[:-1], self.sizes[0]))  # type: ignore[no-any-return]


class FusedMLP(Module):
    """Gated MLP with one projection for gate and up."""

    label = "mlp"

    def __init__(self, config: Config) -> None:
        width, self.inner = config.size("D", "hidden_size"), config.size("F", "intermediate_size")
        self.gate_up_proj = Linear(width, Dim(2 * self.inner, "2F"), bias=False)
        self.down_proj = Linear(self.inner, width, bias=False)
        self.act = activation(config.get("hidden_act", "silu"))

    def forward(self, x: Tensor) -> Tensor:
        """(B, T, D) to (B, T, D)."""
        up = self.gate_up_proj(x)
        gate, up = split(up, (self.inner, self.inner))
        up = up * self.act(gate)
        return self.down_proj(up)  # type: ignore[no-any-return]


class DecoderLayer(Module):
    """Pre-norm attention and MLP; dropout before each residual addition."""

    label = "residual stream"

    def __init__(self, config: Config, kind: str) -> None:
        width = config.size("D", "hidden_size")
        self.self_attn = Attention(config, kind)
        self.mlp = FusedMLP(config)
        self.input_layernorm = RMSNorm(width)
        self.post_attention_layernorm = RMSNorm(width)
        self.resid_attn_dropout = Dropout(config.get("resid_pdrop", 0.0))
        self.resid_mlp_dropout = Dropout(config.get("resid_pdrop", 0.0))

    def forward(self, hidden: Tensor, context: Context) -> Tensor:
        """(B, T, D) to (B, T, D)."""
        residual = hidden
        hidden = self.input_layernorm(hidden)
        hidden = self.self_attn(hidden, context)
        hidden = residual + self.resid_attn_dropout(hidden)
        residual = hidden
        hidden = self.post_attention_layernorm(hidden)
        hidden = self.mlp(hidden)
        return residual + self.resid_mlp_dropout(hidden)  # type: ignore[no-any-return]


class Decoder(decoder.Decoder):
    """All layers slide where there is a window."""

    layer = DecoderLayer

    def kinds(self, config: Config, count: int) -> list[str]:
        """Return the kind of attention of each layer."""
        return [SLIDING if self.window(config) else FULL] * count


def build(config: Config, task: str) -> Model:
    """Build the model of a config for a task."""
    return build_decoder(config, task, Decoder)
