"""SmolLM3: Llama in which every fourth layer has no positions (transformers 5.23, models/smollm3)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vramlint.memory.families import decoder
from vramlint.memory.families.decoder import FULL, Context, Head, build_decoder

if TYPE_CHECKING:
    from vramlint.memory.families.base import Config, Model, Regime
    from vramlint.memory.tape import Tensor

MODEL_TYPES = ("smollm3",)

_NO_POSITIONS = "full_attention without positions"


class Attention(decoder.Attention):
    """Grouped-query attention, with rotary embeddings or without."""

    def place(self, query: Tensor, key: Tensor, context: Context) -> tuple[Tensor, Tensor]:
        """Give query and key their positions, if this layer does."""
        return (query, key) if self.kind == _NO_POSITIONS else super().place(query, key, context)


class DecoderLayer(decoder.DecoderLayer):
    """Pre-norm attention and MLP."""

    attention = Attention


class Decoder(decoder.Decoder):
    """Embedding, layers and final norm."""

    layer = DecoderLayer

    def kinds(self, config: Config, count: int) -> list[str]:
        """Return the kind of attention of each layer."""
        period = config.get("no_rope_layer_interval", 4)
        turned = config.get("no_rope_layers") or [(index + 1) % period for index in range(count)]
        return [FULL if turns else _NO_POSITIONS for turns in turned]

    def masks(self, x: Tensor, regime: Regime) -> dict[str, Tensor | None]:
        """Return the mask of each kind of attention."""
        masks = super().masks(x, regime)
        return {**masks, _NO_POSITIONS: masks[FULL]}


def build(config: Config, task: str) -> Model:
    """Build the model of a config for a task."""
    return build_decoder(config, task, Decoder, Head(tied=True))
