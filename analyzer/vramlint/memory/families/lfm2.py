"""LFM2: short convolutions over tokens, and every few layers attention (transformers 5.23, models/lfm2)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from vramlint.memory.families import decoder
from vramlint.memory.families.decoder import FULL, Context, Head, build_decoder, head_views
from vramlint.memory.families.mamba import Convolution
from vramlint.memory.modules import Linear, Module, RMSNorm
from vramlint.memory.operators.activations import activation
from vramlint.memory.operators.elementwise import contiguous, narrow, split
from vramlint.memory.tape import Dim, Tensor

if TYPE_CHECKING:
    from vramlint.memory.families.base import Config, Model

MODEL_TYPES = ("lfm2",)

CONVOLUTION = "conv"


class Attention(decoder.Attention):
    """Attention that normalizes queries and keys before it turns them."""

    output = "out_proj"

    def make_projections(self, config: Config) -> None:
        """Make the linear layers before and behind the attention, and the norms of single heads."""
        super().make_projections(config)
        self.q_layernorm = RMSNorm(self.head)
        self.k_layernorm = RMSNorm(self.head)

    def biases(self, config: Config) -> tuple[bool, bool]:  # noqa: ARG002  as its siblings
        """Return that the projections have no bias."""
        return False, False

    def project(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return query, key and value of shape (B, heads, T, H)."""
        query = self.q_layernorm(head_views(self.q_proj(x), self.heads, self.head)).transposed(1, 2)
        key = self.k_layernorm(head_views(self.k_proj(x), self.groups, self.head)).transposed(1, 2)
        value = head_views(self.v_proj(x), self.groups, self.head).transposed(1, 2)
        return query, key, value


class ShortConvolution(Module):
    """A gated convolution over a few tokens."""

    label = "convolution"

    def __init__(self, config: Config) -> None:
        self.width = width = config.size("D", "hidden_size")
        bias, self.kernel = config.get("conv_bias", default=False), config.get("conv_L_cache", 3)
        self.conv = Convolution(width, self.kernel, bias=bias)
        self.in_proj = Linear(width, Dim(3 * width, "3D"), bias=bias)
        self.out_proj = Linear(width, width, bias=bias)

    def forward(self, x: Tensor, context: Context) -> Tensor:
        """(B, T, D) to (B, T, D)."""
        batch, length, width = x.shape
        packed = self.in_proj(x).transposed(1, 2)
        before, after, hidden = split(packed, (self.width,) * 3, 1)
        hidden = before * hidden
        if context.cache is not None:
            context.cache.tensors.append(x.tape.empty((batch, width, self.kernel), hidden.dtype))
        hidden = narrow(self.conv(hidden), -1, length)
        out = after * hidden
        out = contiguous(out.transposed(1, 2))
        return self.out_proj(out)  # type: ignore[no-any-return]


class MLP(Module):
    """`w2(silu(w1(x)) * w3(x))`, two thirds as wide as the config says."""

    label = "mlp"

    def __init__(self, config: Config) -> None:
        width, inner = config.size("D", "hidden_size"), Dim(_inner(config), "F")
        self.w1 = Linear(width, inner, bias=False)
        self.w3 = Linear(width, inner, bias=False)
        self.w2 = Linear(inner, width, bias=False)
        self.act = activation("silu")

    def forward(self, x: Tensor) -> Tensor:
        """(B, T, D) to (B, T, D)."""
        return self.w2(self.act(self.w1(x)) * self.w3(x))  # type: ignore[no-any-return]


def _inner(config: Config) -> int:
    inner = int(config.get("block_ff_dim", config.get("intermediate_size")))
    if not config.get("block_auto_adjust_ff_dim", default=True):
        return inner
    multiple = int(config.get("block_multiple_of", 256))
    inner = int(config.get("block_ffn_dim_multiplier", 1.0) * int(2 * inner / 3))
    return -(-inner // multiple) * multiple


class DecoderLayer(Module):
    """Pre-norm attention or convolution, and an MLP."""

    label = "residual stream"

    def __init__(self, config: Config, kind: str) -> None:
        width = config.size("D", "hidden_size")
        if kind == CONVOLUTION:
            self.conv = ShortConvolution(config)
        else:
            self.self_attn = Attention(config, FULL)
        self.feed_forward: Module = MLP(config)
        self.operator_norm = RMSNorm(width)
        self.ffn_norm = RMSNorm(width)

    def forward(self, hidden: Tensor, context: Context) -> Tensor:
        """(B, T, D) to (B, T, D)."""
        residual = hidden
        mix = vars(self).get("conv") or self.self_attn
        hidden = mix(self.operator_norm(hidden), context)
        hidden = hidden + residual
        return hidden + self.feed_forward(self.ffn_norm(hidden))  # type: ignore[no-any-return]


class Decoder(decoder.Decoder):
    """Embedding, layers and a norm that lies beside the embedding."""

    layer: Any = DecoderLayer
    final = "embedding_norm"

    def kinds(self, config: Config, count: int) -> list[str]:
        """Return which layers attend."""
        given, full = config.get("layer_types"), config.get("full_attn_idxs")
        if given:
            return list(given)
        return [FULL if full is None or index in full else CONVOLUTION for index in range(count)]


def build(config: Config, task: str) -> Model:
    """Build the model of a config for a task."""
    return build_decoder(config, task, Decoder, Head(tied=config.get("tie_embedding", default=True)))
