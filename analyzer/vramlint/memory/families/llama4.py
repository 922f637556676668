"""Llama 4, text: chunked attention, layers without positions, experts that all see every token (models/llama4)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vramlint.memory.dtypes import FLOAT32
from vramlint.memory.families import decoder
from vramlint.memory.families.decoder import Context, GatedMLP, build_decoder, head_size, head_views
from vramlint.memory.families.layers import Rotary, attend, causal_mask, sliding_mask
from vramlint.memory.modules import Linear, Module, Parameter, RMSNorm, parameter_tensor
from vramlint.memory.operators.activations import activation
from vramlint.memory.operators.elementwise import (
    add_inplace,
    cast,
    copy,
    mean_last,
    power,
    repeat_first,
    reshape,
    rsqrt,
    split,
    unary_saving_result,
)
from vramlint.memory.operators.matmul import batched
from vramlint.memory.operators.pooling import mean_over
from vramlint.memory.operators.routing import top_k
from vramlint.memory.tape import Dim, Gradients, Node, Tensor

if TYPE_CHECKING:
    from vramlint.memory.families.base import Config, Model, Regime

MODEL_TYPES = ("llama4_text",)

CHUNKED, PLACELESS = "chunked_attention", "full_attention without positions"
DENSE = "dense "

_DEFAULTS = {
    "intermediate_size_mlp": 16384,
    "num_local_experts": 16,
    "num_experts_per_tok": 1,
    "interleave_moe_layer_step": 1,
    "no_rope_layer_interval": 4,
    "attention_chunk_size": 8192,
}


def unit_rms(x: Tensor) -> Tensor:
    """RMS norm in fp32 without a weight."""
    wide = cast(x, FLOAT32)
    return cast(wide * rsqrt(mean_last(power(wide)) + 1e-6), x.dtype)


class Attention(decoder.Attention):
    """Grouped-query attention; heads turn as complex numbers, or grow with their position."""

    def __init__(self, config: Config, kind: str) -> None:
        super().__init__(config, kind)
        self.normed = config.get("use_qk_norm", default=True)
        self.scaled = config.get("attn_temperature_tuning", default=True)

    def turned(self, x: Tensor, context: Context) -> Tensor:
        """Give (B, T, heads, H) positions as complex numbers."""
        angles = context.positions[self.kind][0]
        _, length, size = angles.shape
        return cast(cast(x, FLOAT32) * angles.view(1, length, 1, size), x.dtype)

    def grown(self, query: Tensor) -> Tensor:
        """Scale queries by their position in fp32."""
        scales = query.tape.empty((1, query.shape[1], 1, 1), FLOAT32)
        return cast(query * scales, query.dtype)

    def forward(self, x: Tensor, context: Context) -> Tensor:
        """(B, T, D) to (B, T, D)."""
        query = head_views(self.q_proj(x), self.heads, self.head)
        key = head_views(self.k_proj(x), self.groups, self.head)
        value = head_views(self.v_proj(x), self.groups, self.head).transposed(1, 2)
        if self.kind == CHUNKED:
            query, key = self.turned(query, context), self.turned(key, context)
            if self.normed:
                query = unit_rms(query)
                key = unit_rms(key)
        elif self.scaled:
            query = self.grown(query)
        query, key = query.transposed(1, 2), key.transposed(1, 2)
        if context.cache is not None:
            key, value = context.cache.update(key, value)
        out = attend(query, key, value, context.masks[self.kind], context.regime, p=self.p, upcast=False)
        return getattr(self, self.output)(reshape(out, *x.shape[:-1], self.queries))  # type: ignore[no-any-return]


class Router(Linear):
    """Sigmoids of the best logits; all others are zero."""

    label = "router"

    def __init__(self, config: Config, experts: int) -> None:
        super().__init__(config.size("D", "hidden_size"), experts, bias=False)
        self.count = config.get("num_experts_per_tok")

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:  # type: ignore[override]
        """(tokens, D) to scores and logits of shape (tokens, E)."""
        logits = super().forward(x)
        best, indices = top_k(logits, self.count)
        scattered = x.tape.empty(logits.shape, logits.dtype)
        scores = x.tape.record(scattered, (best,), _gathered, (indices,))
        return cast(unary_saving_result(cast(scores, FLOAT32)), logits.dtype), logits


def _gathered(node: Node, grads: Gradients) -> Gradients:
    grad = grads[0]
    assert grad is not None
    return (grad.tape.empty(node.inputs[0][2], grad.dtype),)


class Experts(Module):
    """The gated MLPs of all experts, each on all tokens."""

    def __init__(self, config: Config, experts: int) -> None:
        self.width, inner = config.size("D", "hidden_size"), config.size("F", "intermediate_size")
        self.experts, self.inner = experts, inner
        self.gate_up_proj = Parameter(experts, self.width, Dim(2 * inner, "2F"))
        self.down_proj = Parameter(experts, inner, self.width)
        self.act = activation(config.get("hidden_act", "silu"))

    def forward(self, x: Tensor) -> Tensor:
        """(E·tokens, D) to (E·tokens, D)."""
        rows = x.shape[0]
        x = x.view(self.experts, rows // self.experts, self.width)
        packed = batched(x, parameter_tensor(self.gate_up_proj))
        gate, up = split(packed, (self.inner, self.inner))
        out = batched(up * self.act(gate), parameter_tensor(self.down_proj))
        return out.view(rows, self.width)


class Block(Module):
    """A router, the experts, and one that all tokens pass."""

    label = "experts"

    def __init__(self, config: Config) -> None:
        experts = config.size("E", "num_local_experts")
        self.experts = Experts(config, experts)
        self.router = Router(config, experts)
        self.shared_expert = GatedMLP(config)

    def forward(self, x: Tensor) -> Tensor:
        """(B, T, D) to (B, T, D)."""
        batch, length, width = x.shape
        x = x.view(batch * length, width)
        scores, logits = self.router(x)
        experts = scores.shape[1]
        routed = repeat_first(x, experts)
        routed = routed * copy(scores.transposed(0, 1)).view(routed.shape[0], 1)
        out = self.experts(routed)
        shared = self.shared_expert(x)
        summed = mean_over(reordered_sum(out, experts), 0)
        shared = add_inplace(shared, summed)
        del logits
        return shared.view(batch, length, width)


def reordered_sum(x: Tensor, experts: int) -> Tensor:
    """(E·tokens, D) to (E, tokens, D)."""
    rows, width = x.shape
    return x.view(experts, rows // experts, width)


class DecoderLayer(Module):
    """Pre-norm attention, and an MLP or experts."""

    label = "residual stream"

    def __init__(self, config: Config, kind: str) -> None:
        width = config.size("D", "hidden_size")
        self.self_attn = Attention(config, kind.removeprefix(DENSE))
        if kind.startswith(DENSE):
            self.feed_forward: Module = GatedMLP(config, config.size("F", "intermediate_size_mlp"))
        else:
            self.feed_forward = Block(config)
        self.input_layernorm = RMSNorm(width)
        self.post_attention_layernorm = RMSNorm(width)

    def forward(self, hidden: Tensor, context: Context) -> Tensor:
        """(B, T, D) to (B, T, D)."""
        residual = hidden
        hidden = self.input_layernorm(hidden)
        attended = self.self_attn(hidden, context)
        hidden = residual + attended
        residual = hidden
        hidden = self.post_attention_layernorm(hidden)
        hidden = self.feed_forward(hidden)
        return residual + hidden


class Decoder(decoder.Decoder):
    """Embedding, layers and final norm."""

    layer = DecoderLayer

    def kinds(self, config: Config, count: int) -> list[str]:
        """Return the kind of attention of each layer, marked where it has one MLP."""
        period, step = config.get("no_rope_layer_interval"), config.get("interleave_moe_layer_step")
        turned = config.get("no_rope_layers") or [(index + 1) % period for index in range(count)]
        sparse = config.get("moe_layers") or range(step - 1, count, step)
        return [
            ("" if index in sparse else DENSE) + (CHUNKED if turns else PLACELESS)
            for index, turns in enumerate(turned)
        ]

    def masks(self, x: Tensor, regime: Regime) -> dict[str, Tensor | None]:
        """Return the mask of each kind of attention."""
        whole = causal_mask(x, regime)
        return {PLACELESS: whole, CHUNKED: sliding_mask(x, regime, self.config.get("attention_chunk_size"))}

    def make_rotary(self, config: Config) -> Module:
        """Return the rotary embedding, complex numbers in fp32."""
        return ComplexRotary(head_size(config), FLOAT32)

    def positions(self, x: Tensor) -> dict[str, tuple[Tensor, Tensor]]:
        """Return complex numbers for the layers that turn their heads."""
        return {CHUNKED: self.rotary_emb(x)}


class ComplexRotary(Rotary):
    """Rotary positions as complex numbers: cosine and sine side by side."""

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return them twice, of shape (1, T, rotated size) in fp32."""
        angles = x.tape.empty((1, x.shape[1], self.size), FLOAT32)
        return angles, angles


def build(config: Config, task: str) -> Model:
    """Build the model of a config for a task."""
    return build_decoder(config.completed(_DEFAULTS), task, Decoder)
