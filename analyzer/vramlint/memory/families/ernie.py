"""ERNIE 4.5: Llama with heads turned in fp32, neighbours in pairs (models/ernie4_5)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vramlint.memory.dtypes import FLOAT32
from vramlint.memory.families import decoder
from vramlint.memory.families.decoder import Context, GatedMLP, Head, build_decoder
from vramlint.memory.families.layers import repeated_pairs, rotate_half
from vramlint.memory.modules import Linear
from vramlint.memory.operators.elementwise import cast

if TYPE_CHECKING:
    from vramlint.memory.families.base import Config, Model
    from vramlint.memory.tape import Tensor

MODEL_TYPES = ("ernie4_5",)


class Attention(decoder.Attention):
    """Attention with rotary embeddings in fp32."""

    def biases(self, config: Config) -> tuple[bool, bool]:
        """Return whether the projections have a bias."""
        bias = config.get("use_bias", default=False)
        return bias, bias

    def place(self, query: Tensor, key: Tensor, context: Context) -> tuple[Tensor, Tensor]:
        """Give query and key their positions."""
        cosine, sine = (
            repeated_pairs(part).view(1, 1, *part.shape[1:]) for part in context.positions[self.kind]
        )
        turned = [(cast(x, FLOAT32) * cosine) + (cast(rotate_half(x), FLOAT32) * sine) for x in (query, key)]
        return cast(turned[0], query.dtype), cast(turned[1], query.dtype)


class MLP(GatedMLP):
    """Gated MLP."""

    def __init__(self, config: Config, inner: int | None = None) -> None:
        super().__init__(config, inner)
        if config.get("use_bias", default=False):
            width, inner = config.size("D", "hidden_size"), inner or config.size("F", "intermediate_size")
            self.gate_proj, self.up_proj = Linear(width, inner), Linear(width, inner)
            self.down_proj = Linear(inner, width)


class DecoderLayer(decoder.DecoderLayer):
    """Pre-norm attention and MLP."""

    attention = Attention
    feed_forward = MLP


class Decoder(decoder.Decoder):
    """Embedding, layers and final norm."""

    layer = DecoderLayer


def build(config: Config, task: str) -> Model:
    """Build the model of a config for a task."""
    return build_decoder(config, task, Decoder, Head(tied=True))
