"""Llama and the decoders that share its layer: Mistral, Qwen2, CWM (transformers 5.23, models of those names)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from vramlint.memory.families import decoder
from vramlint.memory.families.decoder import FULL, SLIDING, build_decoder

if TYPE_CHECKING:
    from vramlint.memory.families.base import Config, Model

MODEL_TYPES = ("cwm", "llama", "ministral", "mistral", "qwen2")

_CWM_PERIOD = 4


class Attention(decoder.Attention):
    """Llama's attention; Qwen2 always has biases before it and never behind."""

    def biases(self, config: Config) -> tuple[bool, bool]:
        """Return whether the query, key and value projections, and the output projection, have a bias."""
        return (True, False) if config.get("model_type") == "qwen2" else super().biases(config)


class DecoderLayer(decoder.DecoderLayer):
    """Pre-norm attention and MLP."""

    attention = Attention


class Decoder(decoder.Decoder):
    """All layers of Mistral and Ministral slide where it has a window; Qwen2's do from `max_window_layers` on."""

    layer: Any = DecoderLayer

    def kinds(self, config: Config, count: int) -> list[str]:
        """Return the kind of attention of each layer."""
        if config.get("model_type") in {"ministral", "mistral"} and self.window(config):
            return [SLIDING] * count
        if config.get("model_type") == "cwm" and not config.get("layer_types"):
            return [SLIDING if index % _CWM_PERIOD else FULL for index in range(count)]
        return windowed_kinds(config, count)


def windowed_kinds(config: Config, count: int) -> list[str]:
    """Return `layer_types`, or what Qwen's older keys say: sliding layers from `max_window_layers` on."""
    if config.get("layer_types"):
        return list(config.get("layer_types"))
    full = config.get("max_window_layers", 28) if config.get("use_sliding_window", default=False) else count
    return [FULL if index < full else SLIDING for index in range(count)]


def build(config: Config, task: str) -> Model:
    """Build the model of a config for a task."""
    return build_decoder(config, task, Decoder)
