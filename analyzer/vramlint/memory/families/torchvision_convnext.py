"""torchvision's ConvNeXt (torchvision 0.28, models/convnext.py)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vramlint.memory.convolutional import (
    Conv2d,
    Permute,
    Sequential,
    StochasticDepth,
    adaptive_average_pool,
    flattened,
    keeps_input,
)
from vramlint.memory.families.vision_heads import ImageClassifier, classes_of, require_classification
from vramlint.memory.modules import LayerNorm, Linear, Module, Parameter, parameter_tensor
from vramlint.memory.operators.elementwise import add_inplace

if TYPE_CHECKING:
    from vramlint.memory.families.base import Config, Model
    from vramlint.memory.tape import Tensor

MODEL_TYPES = (
    "torchvision/convnext_tiny",
    "torchvision/convnext_small",
    "torchvision/convnext_base",
    "torchvision/convnext_large",
)

# widths and blocks of the four stages, the last block's rate of stochastic depth
_SHAPES = {
    "convnext_tiny": ((96, 192, 384, 768), (3, 3, 9, 3), 0.1),
    "convnext_small": ((96, 192, 384, 768), (3, 3, 27, 3), 0.4),
    "convnext_base": ((128, 256, 512, 1024), (3, 3, 27, 3), 0.5),
    "convnext_large": ((192, 384, 768, 1536), (3, 3, 27, 3), 0.5),
}


class LayerNorm2d(LayerNorm):
    """Layer norm over the channels of (B, C, H, W)."""

    def forward(self, x: Tensor) -> Tensor:
        """Normalize the channels of each place."""
        rows, channels, height, width = x.shape
        return super().forward(x.view(rows, height, width, channels)).view(*x.shape)


class Block(Module):
    """Depthwise 7 × 7 convolution, layer norm, and an MLP over the channels, with a scaled residual."""

    label = "residual stream"

    def __init__(self, width: int, drop: float) -> None:
        self.layer_scale = Parameter(width, 1, 1)
        self.block = Sequential(
            Conv2d(width, width, 7, groups=width),
            Permute(0, 2, 3, 1),
            LayerNorm(width),
            Linear(width, 4 * width),
            keeps_input(),
            Linear(4 * width, width),
            Permute(0, 3, 1, 2),
        )
        self.stochastic_depth = StochasticDepth(drop)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) to (B, C, H, W)."""
        result = parameter_tensor(self.layer_scale) * self.block(x)
        result = self.stochastic_depth(result)
        return add_inplace(result, x)


class ConvNeXt(ImageClassifier):
    """Patch stem, four stages with downsampling between them, mean, classifier."""

    def __init__(self, widths: tuple[int, ...], blocks: tuple[int, ...], drop: float, classes: int) -> None:
        total, done = sum(blocks), 0
        parts: list[Module] = [Sequential(Conv2d(3, widths[0], 4, 4, 0), LayerNorm2d(widths[0]))]
        for number, (width, count) in enumerate(zip(widths, blocks, strict=True)):
            rates = [drop * (done + index) / (total - 1) for index in range(count)]
            parts.append(Sequential(*(Block(width, rate) for rate in rates)))
            done += count
            if number + 1 < len(widths):
                parts.append(Sequential(LayerNorm2d(width), Conv2d(width, widths[number + 1], 2, 2, 0)))
        self.features = Sequential(*parts)
        self.avgpool = adaptive_average_pool(1)
        self.classifier = Sequential(LayerNorm2d(widths[-1]), Linear(widths[-1], classes), names=["0", "2"])

    def logits(self, images: Tensor) -> Tensor:
        """(B, 3, H, W) to (B, classes)."""
        x = self.features(images)
        x = self.avgpool(x)
        x = self.classifier.parts["0"](x)
        x = flattened(x)
        return self.classifier.parts["2"](x)  # type: ignore[no-any-return]


def build(config: Config, task: str) -> Model:
    """Build the network that the config names."""
    require_classification(task)
    return ConvNeXt(*_SHAPES[config.get("name")], classes_of(config))
