"""FlexOlmo: OLMo 2's layer with OLMoE's experts (transformers 5.23, models/flex_olmo)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vramlint.memory.families import olmo, olmoe
from vramlint.memory.families.decoder import FULL, build_decoder

if TYPE_CHECKING:
    from vramlint.memory.families.base import Config, Model

MODEL_TYPES = ("flex_olmo",)


class DecoderLayer(olmo.PostNormLayer):
    """Attention and experts, a norm behind each."""

    def __init__(self, config: Config, kind: str = FULL) -> None:
        super().__init__(config, kind)
        self.mlp = olmoe.Block(config)


class Decoder(olmo.PostNormDecoder):
    """Embedding, layers and final norm."""

    layer = DecoderLayer

    def kinds(self, config: Config, count: int) -> list[str]:  # noqa: ARG002  as its siblings
        """Return that all layers see every token."""
        return [FULL] * count


def build(config: Config, task: str) -> Model:
    """Build the model of a config for a task."""
    return build_decoder(config, task, Decoder)
