"""EXAONE 4: norms behind each block and over each query and key head; full layers without positions.

transformers 5.23, models/exaone4.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from vramlint.memory.families import decoder, olmo
from vramlint.memory.families.decoder import FULL, SLIDING, Context, build_decoder, patterned_kinds
from vramlint.memory.modules import RMSNorm

if TYPE_CHECKING:
    from vramlint.memory.families.base import Config, Model
    from vramlint.memory.tape import Tensor

MODEL_TYPES = ("exaone4",)


class Attention(decoder.Attention):
    """Attention that normalizes queries and keys; positions only where the layer slides, if any layer does."""

    def make_projections(self, config: Config) -> None:
        """Make the linear layers before and behind the attention, and the norms."""
        super().make_projections(config)
        self.q_norm = RMSNorm(self.head)
        self.k_norm = RMSNorm(self.head)
        self.turns = self.kind == SLIDING or config.get("sliding_window") is None

    def place(self, query: Tensor, key: Tensor, context: Context) -> tuple[Tensor, Tensor]:
        """Give query and key their positions."""
        query, key = self.q_norm(query), self.k_norm(key)
        return super().place(query, key, context) if self.turns else (query, key)


class DecoderLayer(olmo.PostNormLayer):
    """Attention and MLP, each with a norm behind it."""

    attention = Attention
    norm = RMSNorm


class Decoder(decoder.Decoder):
    """Embedding, layers and final norm."""

    layer = DecoderLayer

    def kinds(self, config: Config, count: int) -> list[str]:
        """Return the kind of attention of each layer."""
        if self.window(config) is None:
            return [FULL] * count
        pattern = config.get("sliding_window_pattern", 4)
        return patterned_kinds(config, count, len(pattern) if isinstance(pattern, str) else pattern)


def build(config: Config, task: str) -> Model:
    """Build the model of a config for a task."""
    return build_decoder(config, task, Decoder)
