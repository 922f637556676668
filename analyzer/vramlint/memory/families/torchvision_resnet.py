"""ResNet, ResNeXt and Wide ResNet, alike in torchvision 0.28 and timm 1.0.31 (models/resnet.py)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from vramlint.memory.convolutional import (
    BatchNorm,
    Conv2d,
    Sequential,
    adaptive_average_pool,
    flattened,
    max_pool,
    relu_inplace,
)
from vramlint.memory.families.vision_heads import ImageClassifier, classes_of, require_classification
from vramlint.memory.modules import Linear, Module
from vramlint.memory.operators.elementwise import add_inplace

if TYPE_CHECKING:
    from vramlint.memory.families.base import Config, Model
    from vramlint.memory.tape import Tensor

MODEL_TYPES = (
    "torchvision/resnet18",
    "torchvision/resnet34",
    "torchvision/resnet50",
    "torchvision/resnet101",
    "torchvision/resnet152",
    "torchvision/resnext50_32x4d",
    "torchvision/resnext101_32x8d",
    "torchvision/resnext101_64x4d",
    "torchvision/wide_resnet50_2",
    "torchvision/wide_resnet101_2",
    "timm/resnet18",
    "timm/resnet34",
    "timm/resnet50",
    "timm/resnet101",
    "timm/resnet152",
    "timm/resnet26",
    "timm/resnet200",
    "timm/resnext50_32x4d",
    "timm/resnext101_32x4d",
    "timm/resnext101_32x8d",
    "timm/resnext101_32x16d",
    "timm/resnext101_32x32d",
    "timm/resnext101_64x4d",
    "timm/wide_resnet50_2",
    "timm/wide_resnet101_2",
)


@dataclass(frozen=True, slots=True)
class Shape:
    """Blocks per stage, the factor from a block's width to its output, groups, channels per 64 and group."""

    blocks: tuple[int, int, int, int]
    expansion: int = 4
    groups: int = 1
    group_width: int = 64


_50, _101 = (3, 4, 6, 3), (3, 4, 23, 3)
SHAPES = {
    "resnet26": Shape((2, 2, 2, 2)),
    "resnet200": Shape((3, 24, 36, 3)),
    "resnext101_32x4d": Shape(_101, groups=32, group_width=4),
    "resnext101_32x16d": Shape(_101, groups=32, group_width=16),
    "resnext101_32x32d": Shape(_101, groups=32, group_width=32),
    "resnet18": Shape((2, 2, 2, 2), expansion=1),
    "resnet34": Shape(_50, expansion=1),
    "resnet50": Shape(_50),
    "resnet101": Shape(_101),
    "resnet152": Shape((3, 8, 36, 3)),
    "resnext50_32x4d": Shape(_50, groups=32, group_width=4),
    "resnext101_32x8d": Shape(_101, groups=32, group_width=8),
    "resnext101_64x4d": Shape(_101, groups=64, group_width=4),
    "wide_resnet50_2": Shape(_50, group_width=128),
    "wide_resnet101_2": Shape(_101, group_width=128),
}


class BasicBlock(Module):
    """Two 3 × 3 convolutions and a residual."""

    label = "residual stream"

    def __init__(self, inputs: int, width: int, stride: int) -> None:
        self.conv1 = Conv2d(inputs, width, 3, stride, bias=False)
        self.bn1 = BatchNorm(width)
        self.conv2 = Conv2d(width, width, 3, bias=False)
        self.bn2 = BatchNorm(width)
        self.relu = relu_inplace()
        self.downsample = _downsample(inputs, width, stride)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) to (B, C', H', W')."""
        identity = x
        out = self.conv1(x)
        out = self.bn1(out)
        out = self.relu(out)
        out = self.conv2(out)
        out = self.bn2(out)
        if self.downsample is not None:
            identity = self.downsample(x)
        out = add_inplace(out, identity)
        return self.relu(out)  # type: ignore[no-any-return]


class Bottleneck(Module):
    """1 × 1, 3 × 3 and 1 × 1 convolutions and a residual."""

    label = "residual stream"

    def __init__(self, inputs: int, width: int, stride: int, shape: Shape) -> None:
        outputs, inner = width * shape.expansion, width * shape.group_width // 64 * shape.groups
        self.conv1 = Conv2d(inputs, inner, bias=False)
        self.bn1 = BatchNorm(inner)
        self.conv2 = Conv2d(inner, inner, 3, stride, groups=shape.groups, bias=False)
        self.bn2 = BatchNorm(inner)
        self.conv3 = Conv2d(inner, outputs, bias=False)
        self.bn3 = BatchNorm(outputs)
        self.relu = relu_inplace()
        self.downsample = _downsample(inputs, outputs, stride)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) to (B, C', H', W')."""
        identity = x
        out = self.conv1(x)
        out = self.bn1(out)
        out = self.relu(out)
        out = self.conv2(out)
        out = self.bn2(out)
        out = self.relu(out)
        out = self.conv3(out)
        out = self.bn3(out)
        if self.downsample is not None:
            identity = self.downsample(x)
        out = add_inplace(out, identity)
        return self.relu(out)  # type: ignore[no-any-return]


def _downsample(inputs: int, outputs: int, stride: int) -> Sequential | None:
    if stride == 1 and inputs == outputs:
        return None
    return Sequential(Conv2d(inputs, outputs, 1, stride, bias=False), BatchNorm(outputs))


class ResNet(ImageClassifier):
    """Stem, four stages, mean, linear classifier."""

    def __init__(self, shape: Shape, classes: int) -> None:
        self.conv1 = Conv2d(3, 64, 7, 2, bias=False)
        self.bn1 = BatchNorm(64)
        self.relu = relu_inplace()
        self.maxpool = max_pool(3, 2, 1)
        inputs = 64
        stages = []
        for number, count in enumerate(shape.blocks):
            stages.append(_stage(shape, inputs, 64 * 2**number, count, stride=2 if number else 1))
            inputs = 64 * 2**number * shape.expansion
        self.layer1, self.layer2, self.layer3, self.layer4 = stages
        self.avgpool = adaptive_average_pool(1)
        self.fc = Linear(inputs, classes)

    def logits(self, images: Tensor) -> Tensor:
        """(B, 3, H, W) to (B, classes)."""
        x = self.conv1(images)
        x = self.bn1(x)
        x = self.relu(x)
        x = self.maxpool(x)
        x = self.layer1(x)
        x = self.layer2(x)
        x = self.layer3(x)
        x = self.layer4(x)
        x = self.avgpool(x)
        x = flattened(x)
        return self.fc(x)  # type: ignore[no-any-return]


def _stage(shape: Shape, inputs: int, width: int, count: int, stride: int) -> Sequential:
    blocks = []
    for index in range(count):
        step = stride if index == 0 else 1
        basic = shape.expansion == 1
        blocks.append(BasicBlock(inputs, width, step) if basic else Bottleneck(inputs, width, step, shape))
        inputs = width * shape.expansion
    return Sequential(*blocks)


def build(config: Config, task: str) -> Model:
    """Build the network that the config names."""
    require_classification(task)
    return ResNet(SHAPES[config.get("name")], classes_of(config))
