"""Ministral 3: Mistral whose queries grow with their position (transformers 5.23, models/ministral3)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vramlint.memory.families import decoder
from vramlint.memory.families.decoder import FULL, SLIDING, Context, build_decoder

if TYPE_CHECKING:
    from vramlint.memory.families.base import Config, Model
    from vramlint.memory.tape import Tensor

MODEL_TYPES = ("ministral3",)


class Attention(decoder.Attention):
    """Grouped-query attention with scaled queries."""

    def biases(self, config: Config) -> tuple[bool, bool]:  # noqa: ARG002  as its siblings
        """Return that the projections have no bias."""
        return False, False

    def place(self, query: Tensor, key: Tensor, context: Context) -> tuple[Tensor, Tensor]:
        """Give query and key their positions, and scale the query by its own."""
        query, key = super().place(query, key, context)
        scales = query.tape.empty((1, 1, query.shape[2], 1), query.dtype)
        return query * scales, key


class DecoderLayer(decoder.DecoderLayer):
    """Pre-norm attention and MLP."""

    attention = Attention


class Decoder(decoder.Decoder):
    """Embedding, layers and final norm; all layers slide where there is a window."""

    layer = DecoderLayer

    def kinds(self, config: Config, count: int) -> list[str]:
        """Return the kind of attention of each layer."""
        return [SLIDING if self.window(config) else FULL] * count


def build(config: Config, task: str) -> Model:
    """Build the model of a config for a task."""
    return build_decoder(config, task, Decoder)
