"""ViT and DeiT (transformers 5.23, models/vit, deit)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vramlint.memory.families.vision_heads import require_classification
from vramlint.memory.families.vision_transformer import (
    ImageModel,
    Layer,
    PatchEmbeddings,
    Widths,
    patch_places,
    with_tokens_before,
)
from vramlint.memory.modules import Dropout, LayerNorm, Module, Parameter, Stack, parameter_tensor

if TYPE_CHECKING:
    from vramlint.memory.families.base import Config, Model, Regime
    from vramlint.memory.tape import Tensor

MODEL_TYPES = ("deit", "vit", "vit_msn")


class Embeddings(Module):
    """Patches, learned tokens before them, and a position embedding."""

    label = "embedding"

    def __init__(self, config: Config, widths: Widths, *, distilled: bool) -> None:
        self.cls_token = Parameter(1, 1, widths.width)
        self.patch_embeddings = PatchEmbeddings(config, widths.width)
        tokens = 2 if distilled else 1
        self.position_embeddings = Parameter(1, patch_places(config) + tokens, widths.width)
        if distilled:
            self.distillation_token = Parameter(1, 1, widths.width)
        self.dropout = Dropout(widths.dropout)

    def forward(self, pixels: Tensor) -> Tensor:
        """(B, 3, H, W) to (B, T, D)."""
        embeddings = self.patch_embeddings(pixels)
        distillation = vars(self).get("distillation_token")
        tokens = [self.cls_token, *([distillation] if distillation is not None else [])]
        embeddings = with_tokens_before(embeddings, *tokens)
        embeddings = embeddings + parameter_tensor(self.position_embeddings)
        return self.dropout(embeddings)  # type: ignore[no-any-return]


class Encoder(Module):
    """Embeddings, layers and a final norm."""

    def __init__(self, config: Config, *, distilled: bool) -> None:
        widths = Widths.of(config)
        self.embeddings = Embeddings(config, widths, distilled=distilled)
        self.layers = Stack(widths.layers, lambda _: Layer(widths))
        self.layernorm = LayerNorm(widths.width)

    def forward(self, pixels: Tensor, regime: Regime) -> Tensor:
        """(B, 3, H, W) to (B, T, D)."""
        hidden = self.embeddings(pixels)
        hidden = self.layers(hidden, None, regime)
        return self.layernorm(hidden)  # type: ignore[no-any-return]


def build(config: Config, task: str) -> Model:
    """Build the model of a config for a task."""
    require_classification(task)
    prefix = "deit" if config.get("model_type") == "deit" else "vit"
    body = Encoder(config, distilled=prefix == "deit")
    return ImageModel(config, prefix, body, Widths.of(config).width)
