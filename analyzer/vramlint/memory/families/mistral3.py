"""Mistral Small 3.1 and later: a Pixtral tower, merged patches, and Mistral (transformers 5.23, models/mistral3)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vramlint.memory.families.dual_encoder import part_of
from vramlint.memory.families.pixtral import VISION, ImageTower
from vramlint.memory.families.vision_language import (
    Body,
    VisionLanguageModel,
    language_model,
    require_text,
    tied,
)
from vramlint.memory.modules import Linear, Module, RMSNorm
from vramlint.memory.operators.activations import activation
from vramlint.memory.operators.elementwise import concatenate, split
from vramlint.memory.operators.windows import unfold
from vramlint.memory.tape import Dim, Tensor

if TYPE_CHECKING:
    from vramlint.memory.families.base import Batch, Config, Model, Regime
    from vramlint.memory.families.decoder import CausalLM

MODEL_TYPES = ("mistral3",)


class PatchMerger(Module):
    """Neighbouring patches side by side through a linear layer."""

    def __init__(self, width: int, side: int) -> None:
        self.side = side
        self.merging_layer = Linear(Dim(width * side**2, "4C"), width, bias=False)

    def forward(self, features: Tensor, grids: list[tuple[int, int]]) -> Tensor:
        """(n, C) to (n/4, C)."""
        width, merged = features.shape[-1], []
        parts = split(features, [height * across for height, across in grids], 0)
        for part, (height, across) in zip(parts, grids, strict=True):
            image = part.view(height, across, width).transposed(0, 2).view(1, width, height, across)
            columns = unfold(image, self.side)
            merged.append(columns.view(columns.shape[1], columns.shape[2]).transposed(0, 1))
        return self.merging_layer(concatenate(merged, 0))  # type: ignore[no-any-return]


class Projector(Module):
    """A norm, the merger, and two linear layers."""

    label = "projector"

    def __init__(self, config: Config, inner: int, width: int) -> None:
        bias = config.get("multimodal_projector_bias", default=False)
        self.norm = RMSNorm(inner)
        self.patch_merger = PatchMerger(inner, config.get("spatial_merge_size", 2))
        self.linear_1 = Linear(inner, width, bias=bias)
        self.linear_2 = Linear(width, width, bias=bias)
        self.act = activation(config.get("projector_hidden_act", "gelu"))

    def forward(self, x: Tensor, grids: list[tuple[int, int]]) -> Tensor:
        """(n, C) to (n/4, D)."""
        x = self.norm(x)
        x = self.patch_merger(x, grids)
        hidden = self.linear_1(x)
        hidden = self.act(hidden)
        return self.linear_2(hidden)  # type: ignore[no-any-return]


class MistralBody(Body):
    """The tower's last states through the projector."""

    def __init__(self, config: Config, vision: Config, language: CausalLM) -> None:
        super().__init__(language)
        self.vision_tower = ImageTower(vision)
        width = part_of(config, "text_config", {}).size("D", "hidden_size")
        self.multi_modal_projector = Projector(config, vision.size("C", "hidden_size"), width)

    def features(self, batch: Batch, regime: Regime) -> tuple[Tensor, list[Tensor]]:
        """Return the features of all images, one after the other."""
        pixels = batch["pixel_values"]
        rows, _, height, width = pixels.shape
        side = self.vision_tower.side
        hidden = self.vision_tower(pixels, regime)
        grids = [(height // side, width // side)] * rows
        merged = self.multi_modal_projector(hidden.view(*hidden.shape[1:]), grids)
        each = split(merged, (merged.shape[0] // rows,) * rows, 0)
        return concatenate(each, 0), [hidden, merged]


def build(config: Config, task: str) -> Model:
    """Build the model of a config for a task."""
    require_text(task)
    vision = part_of(config, "vision_config", VISION)
    text = part_of(config, "text_config", {"model_type": "mistral"})
    language = language_model(tied(text, config.get("tie_word_embeddings", default=True)))
    return VisionLanguageModel(MistralBody(config, vision, language), language)
