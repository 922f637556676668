"""timm's ConvNeXt (timm 1.0.31, models/convnext.py)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vramlint.memory.convolutional import (
    Conv2d,
    Sequential,
    adaptive_average_pool,
    flattened,
)
from vramlint.memory.families.torchvision_convnext import LayerNorm2d
from vramlint.memory.families.vision_heads import ImageClassifier, classes_of, require_classification
from vramlint.memory.families.vision_transformer import MLP
from vramlint.memory.modules import LayerNorm, Linear, Module, Parameter, parameter_tensor

if TYPE_CHECKING:
    from vramlint.memory.families.base import Config, Model
    from vramlint.memory.tape import Tensor

MODEL_TYPES = (
    "timm/convnext_base",
    "timm/convnext_large",
    "timm/convnext_small",
    "timm/convnext_tiny",
    "timm/convnext_xlarge",
)

# widths and blocks of the four stages
_SHAPES = {
    "convnext_tiny": ((96, 192, 384, 768), (3, 3, 9, 3)),
    "convnext_small": ((96, 192, 384, 768), (3, 3, 27, 3)),
    "convnext_base": ((128, 256, 512, 1024), (3, 3, 27, 3)),
    "convnext_large": ((192, 384, 768, 1536), (3, 3, 27, 3)),
    "convnext_xlarge": ((256, 512, 1024, 2048), (3, 3, 27, 3)),
}


class Block(Module):
    """Depthwise 7 × 7 convolution, layer norm, and an MLP over the channels, with a scaled residual."""

    label = "residual stream"

    def __init__(self, width: int) -> None:
        self.conv_dw = Conv2d(width, width, 7, groups=width)
        self.norm = LayerNorm(width)
        self.mlp = MLP(width, 4 * width, "gelu")
        self.gamma = Parameter(width)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) to (B, C, H, W)."""
        shortcut = x
        x = self.conv_dw(x)
        rows, width, height, across = x.shape
        x = x.view(rows, height, across, width)
        x = self.norm(x)
        x = self.mlp(x)
        x = x.view(rows, width, height, across)
        x = x * parameter_tensor(self.gamma).view(1, width, 1, 1)
        return x + shortcut


class Stage(Module):
    """Perhaps a downsampling, then blocks."""

    def __init__(self, inputs: int, width: int, count: int) -> None:
        if inputs != width:
            self.downsample = Sequential(LayerNorm2d(inputs), Conv2d(inputs, width, 2, 2, 0))
        self.blocks = Sequential(*(Block(width) for _ in range(count)))

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) to (B, C', H', W')."""
        downsample = vars(self).get("downsample")
        if downsample is not None:
            x = downsample(x)
        return self.blocks(x)  # type: ignore[no-any-return]


class Head(Module):
    """Mean, norm and a linear classifier."""

    def __init__(self, width: int, classes: int) -> None:
        self.global_pool = adaptive_average_pool(1)
        self.norm = LayerNorm2d(width)
        self.fc = Linear(width, classes)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) to (B, classes)."""
        x = self.global_pool(x)
        x = self.norm(x)
        x = flattened(x)
        return self.fc(x)  # type: ignore[no-any-return]


class ConvNeXt(ImageClassifier):
    """Patch stem, four stages, head."""

    def __init__(self, widths: tuple[int, ...], blocks: tuple[int, ...], classes: int) -> None:
        self.stem = Sequential(Conv2d(3, widths[0], 4, 4, 0), LayerNorm2d(widths[0]))
        inputs = (widths[0], *widths[:-1])
        self.stages = Sequential(
            *(
                Stage(before, width, count)
                for before, width, count in zip(inputs, widths, blocks, strict=True)
            )
        )
        self.head = Head(widths[-1], classes)

    def logits(self, images: Tensor) -> Tensor:
        """(B, 3, H, W) to (B, classes)."""
        x = self.stem(images)
        x = self.stages(x)
        return self.head(x)  # type: ignore[no-any-return]


def shape_of(name: str) -> tuple[tuple[int, ...], tuple[int, ...]] | None:
    """Return widths and blocks of the network of that name, None for another kind of name."""
    return _SHAPES.get(name)


def build(config: Config, task: str) -> Model:
    """Build the network that the config names."""
    require_classification(task)
    return ConvNeXt(*_SHAPES[config.get("name")], classes_of(config))
