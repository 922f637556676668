"""SigLIP (transformers 5.23, models/siglip)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vramlint.memory.families.base import Batch, Config, Model, Output, Regime, UnsupportedTask
from vramlint.memory.families.dual_encoder import (
    DualEncoder,
    ImageEmbeddings,
    Layers,
    TextEmbeddings,
    part_of,
)
from vramlint.memory.families.encoder import bidirectional_mask
from vramlint.memory.families.vision_transformer import MLP, ImageModel, Widths, first_place
from vramlint.memory.modules import LayerNorm, Linear, Module, Parameter, parameter_tensor
from vramlint.memory.multihead import ProbeAttention
from vramlint.memory.operators.elementwise import total, unary, unary_saving_result
from vramlint.memory.operators.matmul import batched
from vramlint.memory.operators.normalization import unit_length
from vramlint.memory.operators.pooling import mean_over

if TYPE_CHECKING:
    from vramlint.memory.tape import Tensor

MODEL_TYPES = ("siglip",)

_TEXT = {
    "vocab_size": 32000,
    "hidden_size": 768,
    "intermediate_size": 3072,
    "num_hidden_layers": 12,
    "num_attention_heads": 12,
    "max_position_embeddings": 64,
    "hidden_act": "gelu_pytorch_tanh",
}
VISION = {
    "hidden_size": 768,
    "intermediate_size": 3072,
    "num_hidden_layers": 12,
    "num_attention_heads": 12,
    "image_size": 224,
    "patch_size": 16,
    "hidden_act": "gelu_pytorch_tanh",
}


class TextTower(Module):
    """Embeddings, layers, a final norm; pooled at the last token."""

    def __init__(self, config: Config) -> None:
        widths = Widths.of(config)
        self.embeddings = TextEmbeddings(config, widths.width)
        self.encoder = Layers(widths)
        self.final_layer_norm = LayerNorm(widths.width)
        self.head = Linear(widths.width, config.size("E", "projection_size", default=widths.width))

    def forward(self, ids: Tensor, regime: Regime) -> tuple[Tensor, Tensor]:
        """(B, T) to hidden states (B, T, D) and features (B, D)."""
        hidden = self.embeddings(ids)
        mask = bidirectional_mask(hidden, regime)
        hidden = self.encoder(hidden, mask, regime)
        hidden = self.final_layer_norm(hidden)
        return hidden, self.head(first_place(hidden))


class PoolingHead(Module):
    """A learned query attends to all patches, and goes through an MLP."""

    def __init__(self, widths: Widths) -> None:
        self.probe = Parameter(1, 1, widths.width)
        self.attention = ProbeAttention(widths.width, widths.heads)
        self.layernorm = LayerNorm(widths.width)
        self.mlp = MLP(widths.width, widths.inner, widths.act)

    def forward(self, hidden: Tensor) -> Tensor:
        """(B, T, D) to (B, D)."""
        probe = parameter_tensor(self.probe)
        queries = hidden.tape.empty((hidden.shape[0], 1, hidden.shape[2]), probe.dtype)
        queries = hidden.tape.record(queries, (probe,), lambda _, grads: grads)
        x = self.attention(queries, hidden)
        residual = x
        x = self.layernorm(x)
        x = residual + self.mlp(x)
        return first_place(x)


class ImageTower(Module):
    """Embeddings, layers, a norm, and perhaps a pooling by attention."""

    def __init__(self, config: Config, idle: int = 0) -> None:
        widths = Widths.of(config)
        self.embeddings = ImageEmbeddings(config, widths.width, class_token=False)
        self.encoder = Layers(widths, idle=idle)
        self.post_layernorm = LayerNorm(widths.width)
        self.head = PoolingHead(widths) if config.get("vision_use_head", default=True) else None

    def states(self, pixels: Tensor, regime: Regime) -> Tensor:
        """(B, 3, H, W) to the layers' last states (B, T, D)."""
        hidden = self.embeddings(pixels)
        return self.encoder(hidden, None, regime)  # type: ignore[no-any-return]

    def forward(self, pixels: Tensor, regime: Regime) -> tuple[Tensor, Tensor | None]:
        """(B, 3, H, W) to hidden states (B, T, D) and features (B, D)."""
        hidden = self.states(pixels, regime)
        hidden = self.post_layernorm(hidden)
        return hidden, None if self.head is None else self.head(hidden)


class Siglip(DualEncoder):
    """Both towers and a sigmoid loss over all pairs of the batch."""

    def __init__(self, config: Config) -> None:
        self.logit_scale = Parameter(1)
        self.logit_bias = Parameter(1)
        self.text_model = TextTower(part_of(config, "text_config", _TEXT))
        self.vision_model = ImageTower(part_of(config, "vision_config", VISION))

    def forward(self, batch: Batch, regime: Regime) -> Output:
        """Return the sigmoid loss."""
        image_hidden, images = self.vision_model(batch["pixel_values"], regime)
        text_hidden, texts = self.text_model(batch["input_ids"], regime)
        images.tape.arena.label = "loss"
        images, texts = unit_length(images), unit_length(texts)
        logits = batched(texts, images.transposed(0, 1))
        logits = logits * unary_saving_result(parameter_tensor(self.logit_scale))
        logits = logits + parameter_tensor(self.logit_bias)
        signs = logits.tape.empty(logits.shape, logits.dtype)
        loss = total(unary(logits * signs))
        return Output(loss, logits, [image_hidden, text_hidden, images, texts])


class ImageBody(ImageTower):
    """The image tower alone, asked for its hidden states."""

    def forward(self, pixels: Tensor, regime: Regime) -> Tensor:  # type: ignore[override]
        """(B, 3, H, W) to (B, T, D)."""
        return self.post_layernorm(self.states(pixels, regime))  # type: ignore[no-any-return]


class Classifier(ImageModel):
    """A linear classifier on the mean of the patches."""

    def pooled(self, hidden: Tensor) -> Tensor:
        """(B, T, D) to (B, D)."""
        return mean_over(hidden, 1)


def build(config: Config, task: str) -> Model:
    """Build the model of a config for a task."""
    if task == "contrastive":
        return Siglip(config)
    if task != "image-classification":
        raise UnsupportedTask(task)
    vision = part_of(config, "vision_config", VISION)
    return Classifier(config, "vision_model", ImageBody(vision), vision.size("D", "hidden_size"))
