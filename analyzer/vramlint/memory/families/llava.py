"""LLaVA (transformers 5.23, models/llava): a CLIP or SigLIP tower, a two-layer projector, and a decoder."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from vramlint.memory.families import clip, siglip
from vramlint.memory.families.base import Batch, Config, Model, Regime, UnsupportedTask
from vramlint.memory.families.dual_encoder import part_of
from vramlint.memory.families.vision_heads import image_size_of
from vramlint.memory.families.vision_language import (
    Body,
    VisionLanguageModel,
    language_model,
    require_text,
)
from vramlint.memory.modules import Linear, Module
from vramlint.memory.operators.activations import activation
from vramlint.memory.operators.elementwise import concatenate, narrow, split

if TYPE_CHECKING:
    from vramlint.memory.families.decoder import CausalLM
    from vramlint.memory.tape import Tensor

MODEL_TYPES = ("llava",)

_VISION = {
    **clip.VISION,
    "model_type": "clip_vision_model",
    "hidden_size": 1024,
    "intermediate_size": 4096,
    "num_hidden_layers": 24,
    "num_attention_heads": 16,
    "image_size": 336,
    "patch_size": 14,
}
_TOWERS = {
    "clip_vision_model": clip.ImageTower,
    "siglip_vision_model": siglip.ImageTower,
}


class Projector(Module):
    """Two linear layers from the tower's width to the decoder's."""

    label = "projector"

    def __init__(self, config: Config, inputs: int, outputs: int) -> None:
        bias = config.get("multimodal_projector_bias", default=True)
        self.linear_1 = Linear(inputs, outputs, bias=bias)
        self.linear_2 = Linear(outputs, outputs, bias=bias)
        self.act = activation(config.get("projector_hidden_act", "gelu"))

    def forward(self, x: Tensor) -> Tensor:
        """(B, T, C) to (B, T, D)."""
        x = self.linear_1(x)
        x = self.act(x)
        return self.linear_2(x)  # type: ignore[no-any-return]


class LlavaBody(Body):
    """The tower's hidden states, without its class token where the config says so, through the projector."""

    def __init__(self, config: Config, vision: Config, language: CausalLM) -> None:
        super().__init__(language)
        tower: Any = _TOWERS[str(vision.get("model_type"))]
        self.vision_tower = tower(vision, _idle_layers(config))
        width = part_of(config, "text_config", {}).size("D", "hidden_size")
        self.multi_modal_projector = Projector(config, vision.size("C", "hidden_size"), width)
        self.drops_first = config.get("vision_feature_select_strategy", "default") == "default"

    def features(self, batch: Batch, regime: Regime) -> tuple[Tensor, list[Tensor]]:
        """Return the features of all images, one after the other."""
        hidden = self.vision_tower.states(batch["pixel_values"], regime)
        selected = narrow(hidden, 1, hidden.shape[1] - 1) if self.drops_first else hidden
        projected = self.multi_modal_projector(selected)
        rows, places, width = projected.shape
        each = split(projected, (1,) * rows, 0)
        joined = concatenate([part.view(places, width) for part in each], 0)
        return joined, [hidden, projected]


def _idle_layers(config: Config) -> int:
    """Return how many layers of the tower lie behind the states that are taken: -2 means all but one."""
    layer = config.get("vision_feature_layer", -2)
    last = max(layer) if isinstance(layer, list) else layer
    return -1 - last if last < 0 else 0


class Llava(VisionLanguageModel):
    """LLaVA with one image of the tower's size in each row."""

    def __init__(self, config: Config, vision: Config, language: CausalLM) -> None:
        super().__init__(LlavaBody(config, vision, language), language)
        self.image = image_size_of(vision, 336)


def build(config: Config, task: str) -> Model:
    """Build the model of a config for a task."""
    require_text(task)
    kind = (config.get("vision_config") or {}).get("model_type", "clip_vision_model")
    if kind not in _TOWERS:
        raise UnsupportedTask(task)
    defaults = _VISION if kind == "clip_vision_model" else {**siglip.VISION, "model_type": kind}
    vision = part_of(config, "vision_config", defaults)
    language = language_model(part_of(config, "text_config", {"model_type": "llama"}))
    return Llava(config, vision, language)
