"""Phi-3 and Phi-4: Llama's layer with fused projections and dropout on the residual branches.

transformers 5.23, models/phi3/modeling_phi3.py.
"""

from __future__ import annotations

from vramlint.memory.families.base import Config, Model, Regime
from vramlint.memory.families.heads import require_language_modelling
from vramlint.memory.families.layers import KeyValueCache, attend, rotate_half, split_heads
from vramlint.memory.families.llama import CausalLM, Decoder
from vramlint.memory.modules import Dropout, Linear, Module, RMSNorm
from vramlint.memory.operators.activations import activation
from vramlint.memory.operators.elementwise import concatenate, narrow, reshape, split
from vramlint.memory.tape import Dim, Tensor

MODEL_TYPES = ("phi3",)


def rotate_part(x: Tensor, cosine: Tensor, sine: Tensor) -> Tensor:
    """Apply rotary embeddings to the first part of each head; the rest is copied beside it."""
    _, length, size = cosine.shape
    cosine, sine = cosine.view(1, 1, length, size), sine.view(1, 1, length, size)
    rotated = narrow(x, -1, size)
    passed = narrow(x, -1, x.shape[-1] - size)
    return concatenate([(rotated * cosine) + (rotate_half(rotated) * sine), passed], -1)


class Attention(Module):
    """Attention with one projection for query, key and value."""

    label = "attention"

    def __init__(self, config: Config) -> None:
        width = config.size("D", "hidden_size")
        self.heads = config.size("N", "num_attention_heads")
        self.groups = config.size("K", "num_key_value_heads", default=self.heads)
        self.head = config.size("H", "head_dim", default=width // self.heads)
        queries, keys = Dim(self.heads * self.head, "N·H"), Dim(self.groups * self.head, "K·H")
        self.sizes = (queries, keys, keys)
        self.o_proj = Linear(queries, width, bias=False)
        self.qkv_proj = Linear(width, Dim(queries + 2 * keys, "(N+2K)·H"), bias=False)
        self.p = config.get("attention_dropout", 0.0)

    def forward(  # noqa: PLR0913
        self,
        x: Tensor,
        positions: tuple[Tensor, Tensor],
        mask: Tensor | None,
        cache: KeyValueCache | None,
        regime: Regime,
    ) -> Tensor:
        """(B, T, D) to (B, T, D)."""
        qkv = self.qkv_proj(x)
        query, key, value = (narrow(qkv, -1, size) for size in self.sizes)
        query = split_heads(query, self.heads, self.head)
        key = split_heads(key, self.groups, self.head)
        value = split_heads(value, self.groups, self.head)
        query, key = rotate_part(query, *positions), rotate_part(key, *positions)
        if cache is not None:
            key, value = cache.update(key, value)
        out = attend(query, key, value, mask, regime, p=self.p)
        return self.o_proj(reshape(out, *x.shape[:-1], self.sizes[0]))  # type: ignore[no-any-return]


class MLP(Module):
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

    def __init__(self, config: Config) -> None:
        width = config.size("D", "hidden_size")
        self.self_attn = Attention(config)
        self.mlp = MLP(config)
        self.input_layernorm = RMSNorm(width)
        self.post_attention_layernorm = RMSNorm(width)
        self.resid_attn_dropout = Dropout(config.get("resid_pdrop", 0.0))
        self.resid_mlp_dropout = Dropout(config.get("resid_pdrop", 0.0))

    def forward(  # noqa: PLR0913
        self,
        hidden: Tensor,
        positions: tuple[Tensor, Tensor],
        mask: Tensor | None,
        cache: KeyValueCache | None,
        regime: Regime,
    ) -> Tensor:
        """(B, T, D) to (B, T, D)."""
        residual = hidden
        hidden = self.input_layernorm(hidden)
        hidden = self.self_attn(hidden, positions, mask, cache, regime)
        hidden = residual + self.resid_attn_dropout(hidden)
        residual = hidden
        hidden = self.post_attention_layernorm(hidden)
        hidden = self.mlp(hidden)
        return residual + self.resid_mlp_dropout(hidden)  # type: ignore[no-any-return]


def build(config: Config, task: str) -> Model:
    """Build the model of a config for a task."""
    require_language_modelling(task)
    share = (config.get("rope_parameters") or {}).get("partial_rotary_factor")
    return CausalLM(config, DecoderLayer, rotary_share=share or config.get("partial_rotary_factor", 1.0))
