"""Mixtral: Mistral with eight experts per layer (transformers 5.23, models/mixtral)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vramlint.memory.families import decoder
from vramlint.memory.families.decoder import FULL, SLIDING, build_decoder
from vramlint.memory.families.experts import MixtureBlock, Router

if TYPE_CHECKING:
    from vramlint.memory.families.base import Config, Model

MODEL_TYPES = ("mixtral",)


class MixtralRouter(Router):
    """A router whose scores stay in fp32."""

    keeps_fp32 = True


class Block(MixtureBlock):
    """A router and its experts."""

    def __init__(self, config: Config) -> None:
        experts, inner = (
            config.size("E", "num_local_experts", default=8),
            config.size("F", "intermediate_size"),
        )
        super().__init__(config, experts, inner, MixtralRouter)


class DecoderLayer(decoder.DecoderLayer):
    """Pre-norm attention and experts."""

    feed_forward = Block


class Decoder(decoder.Decoder):
    """Embedding, layers and final norm; all layers slide where there is a window."""

    layer = DecoderLayer

    def kinds(self, config: Config, count: int) -> list[str]:
        """Return the kind of attention of each layer."""
        return [SLIDING if self.window(config) else FULL] * count


def build(config: Config, task: str) -> Model:
    """Build the model of a config for a task."""
    return build_decoder(config, task, Decoder)
