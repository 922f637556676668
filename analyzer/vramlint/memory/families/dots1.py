"""dots.llm1: Qwen3's attention with DeepSeek V3's experts (transformers 5.23, models/dots1)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vramlint.memory.families import deepseek, qwen3, qwen_moe
from vramlint.memory.families.decoder import FULL, build_decoder
from vramlint.memory.families.qwen_moe import DENSE

if TYPE_CHECKING:
    from vramlint.memory.families.base import Config, Model

MODEL_TYPES = ("dots1",)


class DecoderLayer(qwen3.DecoderLayer):
    """Pre-norm attention, and an MLP or experts."""

    def __init__(self, config: Config, kind: str = FULL) -> None:
        super().__init__(config, kind.removeprefix(DENSE))
        if not kind.startswith(DENSE):
            self.mlp = deepseek.Block(config)


class Decoder(qwen_moe.Decoder):
    """Embedding, layers and final norm; the first layers may have no experts."""

    layer = DecoderLayer

    def kinds(self, config: Config, count: int) -> list[str]:
        """Return the kind of attention of each layer, marked where it has one MLP."""
        full, dense = config.get("max_window_layers", 62), config.get("first_k_dense_replace", 0)
        slides = self.window(config) is not None
        given = config.get("layer_types") or [
            FULL if index < full or not slides else "sliding_attention" for index in range(count)
        ]
        return [DENSE + kind if index < dense else kind for index, kind in enumerate(given)]


def build(config: Config, task: str) -> Model:
    """Build the model of a config for a task."""
    return build_decoder(config, task, Decoder)
