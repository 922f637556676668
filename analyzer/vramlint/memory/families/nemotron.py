"""Nemotron and Minitron: LayerNorm of `1 + weight` in half precision, squared ReLU, partly turned heads.

transformers 5.23, models/nemotron.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from vramlint.memory.families import arcee, decoder
from vramlint.memory.families.decoder import Context, build_decoder
from vramlint.memory.families.layers import rotate_part
from vramlint.memory.modules import LayerNorm, parameter_tensor
from vramlint.memory.operators.elementwise import cast
from vramlint.memory.operators.normalization import layer_norm

if TYPE_CHECKING:
    from vramlint.memory.families.base import Config, Model
    from vramlint.memory.tape import Tensor

MODEL_TYPES = ("nemotron",)


class Norm(LayerNorm):
    """LayerNorm that adds one to its weight, and that autocast runs in half precision."""

    def forward(self, x: Tensor) -> Tensor:
        """Normalize the last dimension."""
        tape, autocast = x.tape, x.tape.autocast
        weight, bias = parameter_tensor(self.weight) + 1.0, parameter_tensor(self.bias)
        if autocast is not None:
            x, weight, bias = cast(x, autocast), cast(weight, autocast), cast(bias, autocast)
        with tape.autocast_to(None):
            return layer_norm(x, weight, bias)


class Attention(decoder.Attention):
    """Attention that turns the first part of each head."""

    def place(self, query: Tensor, key: Tensor, context: Context) -> tuple[Tensor, Tensor]:
        """Turn the first part of each head."""
        positions = context.positions[self.kind]
        return rotate_part(query, *positions), rotate_part(key, *positions)


class DecoderLayer(decoder.DecoderLayer):
    """Pre-norm attention and MLP."""

    attention = Attention
    feed_forward = arcee.MLP
    norm = Norm


class Decoder(decoder.Decoder):
    """Embedding, layers and final norm."""

    layer = DecoderLayer
    norm_type = Norm
    rotary_share = 0.5


def build(config: Config, task: str) -> Model:
    """Build the model of a config for a task."""
    return build_decoder(config, task, Decoder)
