"""timm's EfficientNet (timm 1.0.31, models/efficientnet.py, _efficientnet_blocks.py)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vramlint.memory.convolutional import (
    BatchNorm,
    Conv2d,
    Sequential,
    adaptive_average_pool,
    divisible,
    flattened,
    keeps_input,
    sigmoid,
)
from vramlint.memory.families.torchvision_efficientnet import Row, scaled_rows
from vramlint.memory.families.vision_heads import ImageClassifier, classes_of, require_classification
from vramlint.memory.modules import Linear, Module

if TYPE_CHECKING:
    from vramlint.memory.families.base import Config, Model
    from vramlint.memory.tape import Tensor

MODEL_TYPES = (
    "timm/efficientnet_b0",
    "timm/efficientnet_b1",
    "timm/efficientnet_b2",
    "timm/efficientnet_b3",
    "timm/efficientnet_b4",
    "timm/efficientnet_b5",
    "timm/efficientnet_b6",
    "timm/efficientnet_b7",
    "timm/efficientnet_b8",
    "timm/efficientnet_l2",
)

# width and depth factors
_SCALES = {
    "efficientnet_b0": (1.0, 1.0),
    "efficientnet_b1": (1.0, 1.1),
    "efficientnet_b2": (1.1, 1.2),
    "efficientnet_b3": (1.2, 1.4),
    "efficientnet_b4": (1.4, 1.8),
    "efficientnet_b5": (1.6, 2.2),
    "efficientnet_b6": (1.8, 2.6),
    "efficientnet_b7": (2.0, 3.1),
    "efficientnet_b8": (2.2, 3.6),
    "efficientnet_l2": (4.3, 5.3),
}


class NormAct(BatchNorm):
    """`BatchNormAct2d`: batch norm and SiLU in one module."""

    def __init__(self, channels: int) -> None:
        super().__init__(channels)
        self.act = keeps_input()

    def forward(self, x: Tensor) -> Tensor:
        """Normalize and activate."""
        x = super().forward(x)
        return self.act(x)  # type: ignore[no-any-return]


class SqueezeExcite(Module):
    """A factor per channel from the channels' means."""

    label = "squeeze and excitation"

    def __init__(self, channels: int, squeezed: int) -> None:
        self.pool = adaptive_average_pool(1)
        self.conv_reduce = Conv2d(channels, squeezed)
        self.act1 = keeps_input()
        self.conv_expand = Conv2d(squeezed, channels)
        self.gate = sigmoid()

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) to (B, C, H, W)."""
        scale: Tensor = self.pool(x)
        scale = self.conv_reduce(scale)
        scale = self.act1(scale)
        scale = self.conv_expand(scale)
        return x * self.gate(scale)  # type: ignore[no-any-return]


class Block(Module):
    """Expansion, depthwise convolution and projection with a residual; without expansion the names differ."""

    label = "residual stream"

    def __init__(self, row: Row) -> None:
        wide, squeezed = divisible(row.inputs * row.expansion), round(row.inputs / 4)
        parts: dict[str, Module] = {}
        if row.expansion != 1:
            parts |= {"conv_pw": Conv2d(row.inputs, wide, bias=False), "bn1": NormAct(wide)}
        names = ("bn2", "conv_pwl", "bn3") if parts else ("bn1", "conv_pw", "bn2")
        parts |= {
            "conv_dw": Conv2d(wide, wide, row.kernel, row.stride, groups=wide, bias=False),
            names[0]: NormAct(wide),
            "se": SqueezeExcite(wide, squeezed),
            names[1]: Conv2d(wide, row.outputs, bias=False),
            names[2]: BatchNorm(row.outputs),
        }
        for name, part in parts.items():
            setattr(self, name, part)
        self.order = tuple(parts)
        self.adds = row.stride == 1 and row.inputs == row.outputs

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) to (B, C', H', W')."""
        shortcut = x
        for name in self.order:
            x = getattr(self, name)(x)
        return x + shortcut if self.adds else x


class EfficientNet(ImageClassifier):
    """Stem, stages, a last convolution, mean, linear classifier."""

    def __init__(self, width: float, depth: float, classes: int) -> None:
        rows, head = scaled_rows(width, depth), divisible(1280 * width)
        self.conv_stem = Conv2d(3, rows[0].inputs, 3, 2, bias=False)
        self.bn1 = NormAct(rows[0].inputs)
        self.blocks = Sequential(*(_stage(row) for row in rows))
        self.conv_head = Conv2d(rows[-1].outputs, head, bias=False)
        self.bn2 = NormAct(head)
        self.global_pool = adaptive_average_pool(1)
        self.classifier = Linear(head, classes)

    def logits(self, images: Tensor) -> Tensor:
        """(B, 3, H, W) to (B, classes)."""
        x = self.conv_stem(images)
        x = self.bn1(x)
        x = self.blocks(x)
        x = self.conv_head(x)
        x = self.bn2(x)
        x = self.global_pool(x)
        x = flattened(x)
        return self.classifier(x)  # type: ignore[no-any-return]


def _stage(row: Row) -> Sequential:
    others = [row._replace(inputs=row.outputs, stride=1)] * (row.blocks - 1)
    return Sequential(*(Block(shape) for shape in (row, *others)))


def shape_of(name: str) -> tuple[float, float] | None:
    """Return the factors of the network of that name, None for another kind of name."""
    return _SCALES.get(name)


def build(config: Config, task: str) -> Model:
    """Build the network that the config names."""
    require_classification(task)
    return EfficientNet(*_SCALES[config.get("name")], classes_of(config))
