"""Helium: Llama with heads whose neighbours turn in pairs, and norms that end in fp32 (models/helium)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vramlint.memory.families import decoder
from vramlint.memory.families.decoder import Context, build_decoder
from vramlint.memory.families.layers import repeated_pairs, rotate
from vramlint.memory.families.olmo import Norm

if TYPE_CHECKING:
    from vramlint.memory.families.base import Config, Model
    from vramlint.memory.tape import Tensor

MODEL_TYPES = ("helium",)


class Attention(decoder.Attention):
    """Attention that lays cosines and sines out anew in each layer."""

    def place(self, query: Tensor, key: Tensor, context: Context) -> tuple[Tensor, Tensor]:
        """Give query and key their positions."""
        cosine, sine = (repeated_pairs(part) for part in context.positions[self.kind])
        return rotate(query, cosine, sine), rotate(key, cosine, sine)


class DecoderLayer(decoder.DecoderLayer):
    """Pre-norm attention and MLP."""

    attention = Attention
    norm = Norm


class Decoder(decoder.Decoder):
    """Embedding, layers and final norm."""

    layer = DecoderLayer
    norm_type = Norm


def build(config: Config, task: str) -> Model:
    """Build the model of a config for a task."""
    return build_decoder(config, task, Decoder)
