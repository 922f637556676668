"""CLIP (transformers 5.23, models/clip)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vramlint.memory.dtypes import INT64
from vramlint.memory.families.base import Batch, Config, Model, Output, Regime, UnsupportedTask
from vramlint.memory.families.dual_encoder import (
    DualEncoder,
    ImageEmbeddings,
    Layers,
    TextEmbeddings,
    part_of,
)
from vramlint.memory.families.layers import causal_mask
from vramlint.memory.families.vision_transformer import ImageModel, Widths, first_place
from vramlint.memory.modules import LayerNorm, Linear, Module, Parameter, parameter_tensor
from vramlint.memory.operators.elementwise import narrow, unary_saving_result
from vramlint.memory.operators.indexing import take_rows
from vramlint.memory.operators.matmul import batched
from vramlint.memory.operators.normalization import unit_length
from vramlint.memory.operators.pooling import mean_over
from vramlint.memory.operators.softmax import cross_entropy

if TYPE_CHECKING:
    from vramlint.memory.tape import Tensor

MODEL_TYPES = ("clip",)

TEXT = {
    "vocab_size": 49408,
    "hidden_size": 512,
    "intermediate_size": 2048,
    "num_hidden_layers": 12,
    "num_attention_heads": 8,
    "max_position_embeddings": 77,
    "hidden_act": "quick_gelu",
}
VISION = {
    "hidden_size": 768,
    "intermediate_size": 3072,
    "num_hidden_layers": 12,
    "num_attention_heads": 12,
    "image_size": 224,
    "patch_size": 32,
    "hidden_act": "quick_gelu",
}
_PROJECTION = 512


class TextTower(Module):
    """Embeddings, causal layers, a final norm; pooled at the end of each text."""

    def __init__(self, config: Config) -> None:
        widths = Widths.of(config)
        self.embeddings = TextEmbeddings(config, widths.width)
        self.encoder = Layers(widths, causal=True)
        self.final_layer_norm = LayerNorm(widths.width)

    def forward(self, ids: Tensor, regime: Regime) -> tuple[Tensor, Tensor]:
        """(B, T) to hidden states (B, T, D) and features (B, D)."""
        hidden = self.embeddings(ids)
        mask = causal_mask(hidden, regime)
        hidden = self.encoder(hidden, mask, regime)
        hidden = self.final_layer_norm(hidden)
        rows = ids.tape.empty(ids.shape[:1], INT64)
        ends = ids.tape.empty(ids.shape[:1], INT64)
        return hidden, take_rows(hidden, (rows, ends), hidden.shape[0], hidden.shape[-1])


class ImageTower(Module):
    """Embeddings, layers with a norm before them, and the class token normed."""

    def __init__(self, config: Config, idle: int = 0) -> None:
        widths = Widths.of(config)
        self.embeddings = ImageEmbeddings(config, widths.width, class_token=True)
        self.pre_layrnorm = LayerNorm(widths.width)
        self.encoder = Layers(widths, idle=idle)
        self.post_layernorm = LayerNorm(widths.width)

    def states(self, pixels: Tensor, regime: Regime) -> Tensor:
        """(B, 3, H, W) to the layers' last states (B, T, D)."""
        hidden = self.embeddings(pixels)
        hidden = self.pre_layrnorm(hidden)
        return self.encoder(hidden, None, regime)  # type: ignore[no-any-return]

    def forward(self, pixels: Tensor, regime: Regime) -> tuple[Tensor, Tensor]:
        """(B, 3, H, W) to hidden states (B, T, D) and features (B, D)."""
        hidden = self.states(pixels, regime)
        return hidden, self.post_layernorm(first_place(hidden))


class Clip(DualEncoder):
    """Both towers, a projection for each, and the loss over all pairs of the batch."""

    def __init__(self, config: Config) -> None:
        text, vision = part_of(config, "text_config", TEXT), part_of(config, "vision_config", VISION)
        features = config.size("E", "projection_dim", default=_PROJECTION)
        self.logit_scale = Parameter()
        self.text_model = TextTower(text)
        self.vision_model = ImageTower(vision)
        self.visual_projection = Linear(vision.size("D", "hidden_size"), features, bias=False)
        self.text_projection = Linear(text.size("D", "hidden_size"), features, bias=False)

    def forward(self, batch: Batch, regime: Regime) -> Output:
        """Return the contrastive loss."""
        image_hidden, images = self.vision_model(batch["pixel_values"], regime)
        images = self.visual_projection(images)
        text_hidden, texts = self.text_model(batch["input_ids"], regime)
        texts = self.text_projection(texts)
        images.tape.arena.label = "loss"
        images, texts = unit_length(images), unit_length(texts)
        logits = batched(texts, images.transposed(0, 1))
        logits = logits * unary_saving_result(parameter_tensor(self.logit_scale))
        captions = cross_entropy(logits, logits.tape.empty(logits.shape[:1], INT64))
        pictures = cross_entropy(logits.transposed(0, 1), logits.tape.empty(logits.shape[:1], INT64))
        return Output((captions + pictures) * 0.5, logits, [image_hidden, text_hidden, images, texts])


class ImageBody(ImageTower):
    """The image tower alone, asked for its hidden states."""

    def forward(self, pixels: Tensor, regime: Regime) -> Tensor:  # type: ignore[override]
        """(B, 3, H, W) to (B, T, D)."""
        return self.states(pixels, regime)


class Classifier(ImageModel):
    """A linear classifier on the mean of the patches."""

    def pooled(self, hidden: Tensor) -> Tensor:
        """(B, T, D) to (B, D)."""
        return mean_over(narrow(hidden, 1, hidden.shape[1] - 1), 1)


def build(config: Config, task: str) -> Model:
    """Build the model of a config for a task."""
    if task == "contrastive":
        return Clip(config)
    if task != "image-classification":
        raise UnsupportedTask(task)
    vision = part_of(config, "vision_config", VISION)
    return Classifier(config, "vision_model", ImageBody(vision), vision.size("D", "hidden_size"))
