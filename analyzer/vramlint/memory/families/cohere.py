"""Cohere (Command R, Aya): attention beside the MLP behind one norm (models/cohere, cohere2)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vramlint.memory.dtypes import FLOAT32
from vramlint.memory.families import decoder
from vramlint.memory.families.decoder import (
    FULL,
    SLIDING,
    Context,
    Head,
    build_decoder,
    head_views,
    patterned_kinds,
    scaled,
)
from vramlint.memory.families.layers import rotate
from vramlint.memory.modules import Module, Parameter, parameter_tensor
from vramlint.memory.operators.elementwise import cast
from vramlint.memory.operators.normalization import centred_norm

if TYPE_CHECKING:
    from vramlint.memory.families.base import Config, Model
    from vramlint.memory.tape import Tensor

MODEL_TYPES = ("cohere", "cohere2")

_PERIOD = 4


class Norm(Module):
    """A LayerNorm without bias, written out in fp32."""

    label = "norm"

    def __init__(self, *shape: int) -> None:
        self.weight = Parameter(*shape)

    def forward(self, x: Tensor) -> Tensor:
        """Normalize the last dimension."""
        return centred_norm(x, parameter_tensor(self.weight))


class Attention(decoder.Attention):
    """Attention with rotary embeddings in fp32; only sliding layers of Command R7B have positions."""

    def make_projections(self, config: Config) -> None:
        """Make the linear layers before and behind the attention, and the norms of single heads."""
        super().make_projections(config)
        self.turns = self.kind == SLIDING or config.get("model_type") == "cohere"
        if config.get("use_qk_norm", default=False):
            self.q_norm = Norm(self.heads, self.head)
            self.k_norm = Norm(self.groups, self.head)

    def project(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return query, key and value of shape (B, heads, T, H)."""
        if "q_norm" not in vars(self):
            return super().project(x)
        query = head_views(self.q_proj(x), self.heads, self.head)
        key = head_views(self.k_proj(x), self.groups, self.head)
        value = head_views(self.v_proj(x), self.groups, self.head)
        query, key = self.q_norm(query), self.k_norm(key)
        return query.transposed(1, 2), key.transposed(1, 2), value.transposed(1, 2)

    def place(self, query: Tensor, key: Tensor, context: Context) -> tuple[Tensor, Tensor]:
        """Give query and key their positions."""
        if not self.turns:
            return query, key
        dtype, positions = query.dtype, context.positions[self.kind]
        query, key = cast(query, FLOAT32), cast(key, FLOAT32)
        turned = rotate(query, *positions), rotate(key, *positions)
        return cast(turned[0], dtype), cast(turned[1], dtype)


class DecoderLayer(Module):
    """Attention and MLP beside each other."""

    label = "residual stream"

    def __init__(self, config: Config, kind: str = FULL) -> None:
        self.self_attn = Attention(config, kind)
        self.mlp = decoder.GatedMLP(config)
        self.input_layernorm = Norm(config.size("D", "hidden_size"))

    def forward(self, hidden: Tensor, context: Context) -> Tensor:
        """(B, T, D) to (B, T, D)."""
        residual = hidden
        hidden = self.input_layernorm(hidden)
        attended = self.self_attn(hidden, context)
        fed_forward = self.mlp(hidden)
        return residual + attended + fed_forward  # type: ignore[no-any-return]


class Decoder(decoder.Decoder):
    """Embedding, layers and final norm."""

    layer = DecoderLayer
    norm_type = Norm

    def kinds(self, config: Config, count: int) -> list[str]:
        """Return the kind of attention of each layer."""
        if config.get("model_type") == "cohere":
            return [FULL] * count
        return patterned_kinds(config, count, config.get("sliding_window_pattern", _PERIOD))

    def window(self, config: Config) -> int | None:
        """Return how many tokens a sliding layer sees."""
        return config.get("sliding_window", 4096)  # type: ignore[no-any-return]


def build(config: Config, task: str) -> Model:
    """Build the model of a config for a task."""
    return build_decoder(config, task, Decoder, Head(tied=True, adjust=scaled))
