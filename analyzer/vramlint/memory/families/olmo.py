"""OLMo 1 to 3: norms without weights, then behind each block and over all query and key heads.

transformers 5.23, models/olmo, olmo2, olmo3.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from vramlint.memory.dtypes import FLOAT32
from vramlint.memory.families import decoder
from vramlint.memory.families.decoder import FULL, Context, build_decoder, patterned_kinds, rotary_size
from vramlint.memory.families.layers import Rotary, rotate, split_heads
from vramlint.memory.modules import Module, Parameter, parameter_tensor
from vramlint.memory.operators.elementwise import cast
from vramlint.memory.operators.normalization import layer_norm, rms_norm_fp32

if TYPE_CHECKING:
    from vramlint.memory.families.base import Config, Model
    from vramlint.memory.tape import Tensor

MODEL_TYPES = ("olmo", "olmo2", "olmo3")

_OLMO_3_PERIOD = 4


class PlainNorm(Module):
    """OLMo 1's norm: a LayerNorm in fp32 without parameters."""

    label = "norm"

    def __init__(self, width: int) -> None:
        self.width = width

    def forward(self, x: Tensor) -> Tensor:
        """Normalize the last dimension."""
        return cast(layer_norm(cast(x, FLOAT32), None), x.dtype)


class Norm(Module):
    """OLMo 2's RMS norm, which casts back after the weight is applied."""

    label = "norm"

    def __init__(self, width: int) -> None:
        self.weight = Parameter(width)

    def forward(self, x: Tensor) -> Tensor:
        """Normalize the last dimension."""
        return rms_norm_fp32(x, parameter_tensor(self.weight))


class Attention(decoder.Attention):
    """Attention with rotary embeddings in fp32."""

    def place(self, query: Tensor, key: Tensor, context: Context) -> tuple[Tensor, Tensor]:
        """Give query and key their positions."""
        positions = context.positions[self.kind]
        turned = rotate(query, *positions), rotate(key, *positions)
        return cast(turned[0], query.dtype), cast(turned[1], key.dtype)


class NormedAttention(Attention):
    """OLMo 2's attention: queries and keys are normalized over all heads."""

    def make_projections(self, config: Config) -> None:
        """Make the linear layers before and behind the attention, and the norms."""
        super().make_projections(config)
        self.q_norm = Norm(self.queries)
        self.k_norm = Norm(self.keys)

    def project(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return query, key and value of shape (B, heads, T, H)."""
        query = self.q_norm(self.q_proj(x))
        key = self.k_norm(self.k_proj(x))
        value = self.v_proj(x)
        return (
            split_heads(query, self.heads, self.head),
            split_heads(key, self.groups, self.head),
            split_heads(value, self.groups, self.head),
        )


class PreNormLayer(decoder.DecoderLayer):
    """OLMo 1's layer."""

    attention = Attention
    norm = PlainNorm


class PostNormLayer(Module):
    """OLMo 2's layer: a norm behind each block, none before."""

    label = "residual stream"
    attention: Any = NormedAttention
    norm: Any = Norm

    def __init__(self, config: Config, kind: str = FULL) -> None:
        width = config.size("D", "hidden_size")
        self.self_attn = self.attention(config, kind)
        self.mlp: Module = decoder.GatedMLP(config)
        self.post_attention_layernorm = self.norm(width)
        self.post_feedforward_layernorm = self.norm(width)

    def forward(self, hidden: Tensor, context: Context) -> Tensor:
        """(B, T, D) to (B, T, D)."""
        residual = hidden
        hidden = self.self_attn(hidden, context)
        hidden = self.post_attention_layernorm(hidden)
        hidden = residual + hidden
        residual = hidden
        hidden = self.mlp(hidden)
        hidden = self.post_feedforward_layernorm(hidden)
        return residual + hidden


class Decoder(decoder.Decoder):
    """OLMo 1's decoder."""

    layer: Any = PreNormLayer
    norm_type: Any = PlainNorm

    def make_rotary(self, config: Config) -> Module:
        """Return the rotary embedding, whose cosines and sines stay in fp32."""
        return Rotary(rotary_size(config), FLOAT32)


class PostNormDecoder(Decoder):
    """OLMo 2's and 3's decoder; OLMo 3 has sliding layers."""

    layer = PostNormLayer
    norm_type = Norm

    def kinds(self, config: Config, count: int) -> list[str]:
        """Return the kind of attention of each layer."""
        if config.get("model_type") == "olmo2":
            return [FULL] * count
        return patterned_kinds(config, count, _OLMO_3_PERIOD)


def build(config: Config, task: str) -> Model:
    """Build the model of a config for a task."""
    body = Decoder if config.get("model_type") == "olmo" else PostNormDecoder
    return build_decoder(config, task, body)
