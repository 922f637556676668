"""torchvision's Vision Transformers (torchvision 0.28, models/vision_transformer.py)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vramlint.memory.convolutional import Conv2d, Sequential, keeps_input
from vramlint.memory.families.vision_heads import (
    ImageClassifier,
    classes_of,
    image_size_of,
    require_classification,
)
from vramlint.memory.modules import LayerNorm, Linear, Module, Parameter, parameter_tensor
from vramlint.memory.multihead import SelfAttention
from vramlint.memory.operators.elementwise import concatenate, expand, narrow
from vramlint.memory.tape import Dim, Tensor

if TYPE_CHECKING:
    from vramlint.memory.families.base import Config, Model

MODEL_TYPES = (
    "torchvision/vit_b_16",
    "torchvision/vit_b_32",
    "torchvision/vit_l_16",
    "torchvision/vit_l_32",
    "torchvision/vit_h_14",
)

# layers, heads, width
_SIZES = {"b": (12, 12, 768), "l": (24, 16, 1024), "h": (32, 16, 1280)}
_IMAGE = 224


class EncoderBlock(Module):
    """Pre-norm attention and MLP, each with a residual."""

    label = "residual stream"

    def __init__(self, width: int, heads: int) -> None:
        self.ln_1 = LayerNorm(width)
        self.self_attention = SelfAttention(width, heads)
        self.ln_2 = LayerNorm(width)
        parts = (Linear(width, 4 * width), keeps_input(), Linear(4 * width, width))
        self.mlp = Sequential(*parts, names=["0", "1", "3"])

    def forward(self, x: Tensor) -> Tensor:
        """(B, T, D) to (B, T, D)."""
        attended = self.ln_1(x)
        attended = self.self_attention(attended)
        attended = attended + x
        y = self.ln_2(attended)
        y = self.mlp(y)
        return attended + y  # type: ignore[no-any-return]


class Encoder(Module):
    """Position embedding, blocks and a final norm."""

    def __init__(self, length: int, layers: int, heads: int, width: int) -> None:
        self.pos_embedding = Parameter(1, length, width)
        blocks = [EncoderBlock(width, heads) for _ in range(layers)]
        self.layers = Sequential(*blocks, names=[f"encoder_layer_{index}" for index in range(layers)])
        self.ln = LayerNorm(width)

    def forward(self, x: Tensor) -> Tensor:
        """(B, T, D) to (B, T, D)."""
        x = x + parameter_tensor(self.pos_embedding)
        return self.ln(self.layers(x))  # type: ignore[no-any-return]


class VisionTransformer(ImageClassifier):
    """Patches as tokens, a class token before them, an encoder, and a linear head on the class token."""

    def __init__(self, size: tuple[int, int, int], patch: int, places: int, classes: int) -> None:
        layers, heads, width = size
        self.class_token = Parameter(1, 1, width)
        self.conv_proj = Conv2d(3, width, patch, patch, 0)
        self.encoder = Encoder(places + 1, layers, heads, width)
        self.heads = Sequential(Linear(width, classes), names=["head"])

    def logits(self, images: Tensor) -> Tensor:
        """(B, 3, H, W) to (B, classes)."""
        x = self._tokens(images)
        rows, _, width = x.shape
        token = expand(parameter_tensor(self.class_token), rows, 1, width)
        x = concatenate([token, x], 1)
        x = self.encoder(x)
        x = narrow(x, 1, 1)
        x.contiguous = True  # one row of each image: a stride, which the product takes as it is
        return self.heads(x.view(rows, width))  # type: ignore[no-any-return]

    def _tokens(self, images: Tensor) -> Tensor:
        x: Tensor = self.conv_proj(images)
        rows, width, down, across = x.shape
        return x.view(rows, Dim(down * across, "T"), width)


def build(config: Config, task: str) -> Model:
    """Build the network that the config names."""
    require_classification(task)
    _, size, side = config.get("name").split("_")
    patch, (height, width) = int(side), image_size_of(config, _IMAGE)
    places = (height // patch) * (width // patch)
    return VisionTransformer(_SIZES[size], patch, places, classes_of(config))
