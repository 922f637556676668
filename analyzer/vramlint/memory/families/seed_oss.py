"""Seed-OSS: Llama with biases before the attention and dropout behind each block (models/seed_oss)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vramlint.memory.families import decoder
from vramlint.memory.families.decoder import FULL, Context, GatedMLP, build_decoder
from vramlint.memory.operators.elementwise import dropout

if TYPE_CHECKING:
    from vramlint.memory.families.base import Config, Model
    from vramlint.memory.tape import Tensor

MODEL_TYPES = ("seed_oss",)


class Attention(decoder.Attention):
    """Grouped-query attention with dropout."""

    def __init__(self, config: Config, kind: str = FULL) -> None:
        super().__init__(config, kind)
        self.p = config.get("attention_dropout", 0.1)
        self.residual_p = config.get("residual_dropout", 0.1)

    def biases(self, config: Config) -> tuple[bool, bool]:
        """Return whether the query, key and value projections, and the output projection, have a bias."""
        return config.get("attention_bias", default=True), config.get("attention_out_bias", default=False)

    def forward(self, x: Tensor, context: Context) -> Tensor:
        """(B, T, D) to (B, T, D)."""
        return dropout(super().forward(x, context), self.residual_p)


class MLP(GatedMLP):
    """Gated MLP with dropout."""

    def __init__(self, config: Config) -> None:
        super().__init__(config)
        self.residual_p = config.get("residual_dropout", 0.1)

    def forward(self, x: Tensor) -> Tensor:
        """(B, T, D) to (B, T, D)."""
        return dropout(super().forward(x), self.residual_p)


class DecoderLayer(decoder.DecoderLayer):
    """Pre-norm attention and MLP."""

    attention = Attention
    feed_forward = MLP


class Decoder(decoder.Decoder):
    """Embedding, layers and final norm."""

    layer = DecoderLayer


def build(config: Config, task: str) -> Model:
    """Build the model of a config for a task."""
    return build_decoder(config, task, Decoder)
