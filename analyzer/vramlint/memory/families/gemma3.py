"""Gemma 3 and PaliGemma: a SigLIP tower before a Gemma that sees whole images at once (models/gemma3, paligemma)."""

from __future__ import annotations

from dataclasses import replace
from math import isqrt
from typing import TYPE_CHECKING, Any

from vramlint.memory.families import siglip
from vramlint.memory.families.base import Batch, Config, Model, Regime
from vramlint.memory.families.dual_encoder import part_of
from vramlint.memory.families.gemma import Norm
from vramlint.memory.families.vision_heads import image_size_of
from vramlint.memory.families.vision_language import (
    Body,
    VisionLanguageModel,
    language_model,
    require_text,
)
from vramlint.memory.families.vision_transformer import patch_size
from vramlint.memory.modules import Linear, Module, Parameter, parameter_tensor
from vramlint.memory.operators.elementwise import contiguous
from vramlint.memory.operators.matmul import linear_transposed
from vramlint.memory.operators.pooling import average_pool
from vramlint.memory.tape import Dim, Tensor

if TYPE_CHECKING:
    from vramlint.memory.families.decoder import CausalLM

MODEL_TYPES = ("gemma3", "paligemma")

_KINDS = {"gemma3": "gemma3_text", "paligemma": "gemma"}


class PoolingProjector(Module):
    """Patches averaged to fewer tokens, a norm, and a product with a weight (Gemma 3)."""

    label = "projector"

    def __init__(self, config: Config, vision: Config, width: int) -> None:
        inner = vision.size("C", "hidden_size")
        self.mm_input_projection_weight = Parameter(inner, width)
        self.mm_soft_emb_norm = Norm(inner)
        self.side = image_size_of(vision, 224)[0] // patch_size(vision)
        self.kernel = self.side // isqrt(config.get("mm_tokens_per_image", 256))

    def forward(self, hidden: Tensor) -> Tensor:
        """(B, T, C) to (B, tokens, D)."""
        rows, _, width = hidden.shape
        image = hidden.transposed(1, 2).view(rows, width, self.side, self.side)
        image = contiguous(image)
        pooled = average_pool(image, self.kernel, self.kernel)
        places = Dim(pooled.shape[2] * pooled.shape[3], "tokens")
        pooled = pooled.view(rows, width, places).transposed(1, 2)
        normed = self.mm_soft_emb_norm(pooled)
        return linear_transposed(normed, parameter_tensor(self.mm_input_projection_weight))


class LinearProjector(Module):
    """One linear layer (PaliGemma)."""

    label = "projector"

    def __init__(self, config: Config, vision: Config, width: int) -> None:  # noqa: ARG002  as its sibling
        self.linear = Linear(vision.size("C", "hidden_size"), vision.get("projection_dim", width))

    def forward(self, hidden: Tensor) -> Tensor:
        """(B, T, C) to (B, T, D)."""
        return self.linear(hidden)  # type: ignore[no-any-return]


class GemmaBody(Body):
    """The tower's normed states through the projector; tokens of an image see each other, which takes a mask."""

    def __init__(self, config: Config, vision: Config, language: CausalLM, projector: Any) -> None:
        super().__init__(language)
        self.vision_tower = siglip.ImageTower(vision)
        width = part_of(config, "text_config", {}).size("D", "hidden_size")
        self.multi_modal_projector = projector(config, vision, width)

    def features(self, batch: Batch, regime: Regime) -> tuple[Tensor, list[Tensor]]:
        """Return the features of all images."""
        hidden, _ = self.vision_tower(batch["pixel_values"], regime)
        return self.multi_modal_projector(hidden), [hidden]

    def text_regime(self, regime: Regime) -> Regime:
        """Return how the decoder is run: always with a mask."""
        return replace(regime, padding_mask=True)


class Gemma(VisionLanguageModel):
    """A tower and a decoder, with one image of the tower's size in each row."""

    marked = True

    def __init__(self, body: GemmaBody, language: CausalLM, vision: Config) -> None:
        super().__init__(body, language)
        self.image = image_size_of(vision, 224)


def build(config: Config, task: str) -> Model:
    """Build the model of a config for a task."""
    require_text(task)
    kind = str(config.get("model_type"))
    vision = part_of(config, "vision_config", siglip.VISION)
    if kind == "gemma3":
        vision = Config({"vision_use_head": False, **vision.values})
    language = language_model(part_of(config, "text_config", {"model_type": _KINDS[kind]}))
    projector = PoolingProjector if kind == "gemma3" else LinearProjector
    return Gemma(GemmaBody(config, vision, language, projector), language, vision)
