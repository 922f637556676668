"""DeepSeek V2 and V3: latent attention, dense layers first, then shared and routed experts.

transformers 5.23, models/deepseek_v2, deepseek_v3.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from vramlint.memory.dtypes import FLOAT32
from vramlint.memory.families import decoder
from vramlint.memory.families.decoder import FULL, Context, GatedMLP, build_decoder, head_views
from vramlint.memory.families.experts import Experts, ScoredRouter
from vramlint.memory.families.layers import Rotary, attend, rotate, rotate_pairs
from vramlint.memory.modules import Linear, Module, RMSNorm
from vramlint.memory.operators.elementwise import (
    cast,
    concatenate,
    expand,
    filled_with,
    reordered,
    reshape,
    split,
)
from vramlint.memory.tape import Dim, Tensor

if TYPE_CHECKING:
    from vramlint.memory.families.base import Config, Model

MODEL_TYPES = ("deepseek_v2", "deepseek_v3")

SPARSE = "sparse"


class Attention(Module):
    """Multi-head latent attention: keys and values are projected from a narrow vector."""

    label = "attention"

    def __init__(self, config: Config) -> None:
        width, bias = config.size("D", "hidden_size"), config.get("attention_bias", default=False)
        self.heads = config.size("N", "num_attention_heads")
        self.nope = config.get("qk_nope_head_dim", 128)
        self.rope = config.get("qk_rope_head_dim", 64)
        self.value = config.get("v_head_dim", 128)
        self.latent = config.size("R", "kv_lora_rank", default=512)
        queries = Dim(self.heads * (self.nope + self.rope), "N·H")
        self.rank = config.values.get("q_lora_rank", 1536)
        if self.rank is None:
            self.q_proj = Linear(width, queries, bias=False)
        else:
            self.q_a_proj = Linear(width, self.rank, bias=bias)
            self.q_a_layernorm = RMSNorm(self.rank)
            self.q_b_proj = Linear(self.rank, queries, bias=False)
        self.kv_a_proj_with_mqa = Linear(width, self.latent + self.rope, bias=bias)
        self.kv_a_layernorm = RMSNorm(self.latent)
        self.kv_b_proj = Linear(self.latent, Dim(self.heads * (self.nope + self.value), "N·H"), bias=False)
        self.o_proj = Linear(self.heads * self.value, width, bias=bias)
        self.complex = config.get("model_type") == "deepseek_v2"
        self.paired = config.get("rope_interleave", default=True)
        self.p = config.get("attention_dropout", 0.0)

    def query(self, x: Tensor) -> Tensor:
        """Return queries of shape (B, heads, T, H)."""
        query = self.q_proj(x) if self.rank is None else self.q_b_proj(self.q_a_layernorm(self.q_a_proj(x)))
        return head_views(reordered(query), self.heads, self.nope + self.rope).transposed(1, 2)

    def turn(self, x: Tensor, context: Context) -> Tensor:
        """Apply rotary embeddings: as complex numbers in fp32 (V2), to pairs of neighbours, or to halves (V3)."""
        cosine, sine = context.positions[FULL]
        if self.complex:
            return cast(cast(x, FLOAT32) * cosine.view(1, 1, *cosine.shape[1:]), x.dtype)
        return rotate_pairs(x, cosine, sine) if self.paired else rotate(x, cosine, sine)

    def expand(self, latent: Tensor, turned: Tensor) -> tuple[Tensor, Tensor]:
        """Return keys and values of all heads."""
        batch, _, length, _ = latent.shape
        both = reordered(self.kv_b_proj(latent)).view(batch, length, self.heads, self.nope + self.value)
        both = both.transposed(1, 2)
        nope, value = split(both, (self.nope, self.value))
        turned = expand(turned, batch, self.heads, length, self.rope)
        return filled_with([nope, turned]), value

    def forward(self, x: Tensor, context: Context) -> Tensor:
        """(B, T, D) to (B, T, D)."""
        batch, length, _ = x.shape
        query = self.query(x)
        passed, turned = split(query, (self.nope, self.rope))
        compressed = self.kv_a_proj_with_mqa(x)
        latent, rope = split(compressed, (self.latent, self.rope))
        latent = self.kv_a_layernorm(latent).view(batch, 1, length, self.latent)
        rope = rope.view(batch, 1, length, self.rope)
        turned, rope = self.turn(turned, context), self.turn(rope, context)
        if context.cache is not None:
            latent, rope = context.cache.update(latent, rope)
        query = concatenate([passed, turned], -1)
        key, values = self.expand(latent, rope)
        out = attend(query, key, values, context.masks[FULL], context.regime, p=self.p)
        return self.o_proj(reshape(out, batch, length, self.heads * self.value))  # type: ignore[no-any-return]


class Block(Module):
    """Routed experts beside shared ones."""

    label = "experts"

    def __init__(self, config: Config) -> None:
        experts = config.size("E", "n_routed_experts", "num_local_experts", "num_experts", default=64)
        inner = config.size("F", "moe_intermediate_size", default=2048)
        shared = Dim(inner * config.get("n_shared_experts", 1), "F")
        self.experts = Experts(config, experts, inner)
        self.gate = ScoredRouter(config, experts)
        self.shared_experts = GatedMLP(config, shared)

    def forward(self, x: Tensor) -> Tensor:
        """(B, T, D) to (B, T, D)."""
        batch, length, width = x.shape
        scores, indices = self.gate(x.view(batch * length, width))
        out = self.experts(x.view(batch * length, width), scores, indices).view(batch, length, width)
        return out + self.shared_experts(x)  # type: ignore[no-any-return]


class DecoderLayer(decoder.DecoderLayer):
    """Pre-norm attention, and an MLP or experts."""

    def __init__(self, config: Config, kind: str = FULL) -> None:
        super().__init__(config, FULL)
        if kind == SPARSE:
            self.mlp = Block(config)

    @staticmethod
    def attention(config: Config, kind: str) -> Module:  # noqa: ARG004  all layers attend alike
        """Return the attention."""
        return Attention(config)


class Decoder(decoder.Decoder):
    """Embedding, layers and final norm."""

    layer = DecoderLayer

    def kinds(self, config: Config, count: int) -> list[str]:
        """Return which layers have experts."""
        default = 0 if config.get("model_type") == "deepseek_v2" else 3
        dense = config.get("first_k_dense_replace", default)
        return [FULL if index < dense else SPARSE for index in range(count)]

    def make_rotary(self, config: Config) -> Module:
        """Return the rotary embedding."""
        size, complex_numbers = config.get("qk_rope_head_dim", 64), config.get("model_type") == "deepseek_v2"
        return Rotary(size, FLOAT32 if complex_numbers else None)


def build(config: Config, task: str) -> Model:
    """Build the model of a config for a task."""
    return build_decoder(config, task, Decoder)
