"""torchvision's RegNet X and Y (torchvision 0.28, models/regnet.py; Radosavovic et al., 2020)."""

from __future__ import annotations

from itertools import groupby
from math import log
from typing import TYPE_CHECKING, NamedTuple

from vramlint.memory.convolutional import (
    Sequential,
    SqueezeExcitation,
    adaptive_average_pool,
    conv_norm,
    divisible,
    flattened,
    relu_inplace,
)
from vramlint.memory.families.vision_heads import ImageClassifier, classes_of, require_classification
from vramlint.memory.modules import Linear, Module

if TYPE_CHECKING:
    from vramlint.memory.families.base import Config, Model
    from vramlint.memory.tape import Tensor

MODEL_TYPES = (
    "torchvision/regnet_x_400mf",
    "torchvision/regnet_x_800mf",
    "torchvision/regnet_x_1_6gf",
    "torchvision/regnet_x_3_2gf",
    "torchvision/regnet_x_8gf",
    "torchvision/regnet_x_16gf",
    "torchvision/regnet_x_32gf",
    "torchvision/regnet_y_400mf",
    "torchvision/regnet_y_800mf",
    "torchvision/regnet_y_1_6gf",
    "torchvision/regnet_y_3_2gf",
    "torchvision/regnet_y_8gf",
    "torchvision/regnet_y_16gf",
    "torchvision/regnet_y_32gf",
    "torchvision/regnet_y_128gf",
)


class Shape(NamedTuple):
    """The paper's parameters: depth, first width, slope, step of widths, channels per group."""

    depth: int
    w_0: int
    w_a: float
    w_m: float
    group: int


_SHAPES = {
    "x_400mf": Shape(22, 24, 24.48, 2.54, 16),
    "x_800mf": Shape(16, 56, 35.73, 2.28, 16),
    "x_1_6gf": Shape(18, 80, 34.01, 2.25, 24),
    "x_3_2gf": Shape(25, 88, 26.31, 2.25, 48),
    "x_8gf": Shape(23, 80, 49.56, 2.88, 120),
    "x_16gf": Shape(22, 216, 55.59, 2.1, 128),
    "x_32gf": Shape(23, 320, 69.86, 2.0, 168),
    "y_400mf": Shape(16, 48, 27.89, 2.09, 8),
    "y_800mf": Shape(14, 56, 38.84, 2.4, 16),
    "y_1_6gf": Shape(27, 48, 20.71, 2.65, 24),
    "y_3_2gf": Shape(21, 80, 42.63, 2.66, 24),
    "y_8gf": Shape(17, 192, 76.82, 2.19, 56),
    "y_16gf": Shape(18, 200, 106.23, 2.48, 112),
    "y_32gf": Shape(20, 232, 115.89, 2.53, 232),
    "y_128gf": Shape(27, 456, 160.83, 2.52, 264),
}
_STEM = 32
_SQUEEZE = 0.25


class Stage(NamedTuple):
    """Blocks of one width."""

    width: int
    blocks: int
    group: int


def stages(shape: Shape) -> list[Stage]:
    """Return the stages: widths rise by powers of `w_m`, in multiples of 8, and fit the groups."""
    capacities = [
        round(log((index * shape.w_a + shape.w_0) / shape.w_0) / log(shape.w_m))
        for index in range(shape.depth)
    ]
    widths = [round(shape.w_0 * shape.w_m**capacity / 8) * 8 for capacity in capacities]
    found = []
    for width, run in groupby(widths):
        group = min(shape.group, width)
        found.append(Stage(divisible(width, group), len(list(run)), group))
    return found


class Block(Module):
    """A bottleneck of grouped convolutions with a residual."""

    label = "residual stream"

    def __init__(self, inputs: int, stage: Stage, stride: int, squeezed: int | None) -> None:
        width = stage.width
        parts: dict[str, Module] = {
            "a": conv_norm(inputs, width, 1),
            "b": conv_norm(width, width, 3, stride, groups=width // stage.group),
        }
        if squeezed is not None:
            parts["se"] = SqueezeExcitation(width, squeezed)
        parts["c"] = conv_norm(width, width, 1, act=None)
        self.proj = conv_norm(inputs, width, 1, stride, act=None) if inputs != width or stride != 1 else None
        self.f = Sequential(*parts.values(), names=list(parts))
        self.activation = relu_inplace()

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) to (B, C', H', W')."""
        x = (x if self.proj is None else self.proj(x)) + self.f(x)
        return self.activation(x)  # type: ignore[no-any-return]


class RegNet(ImageClassifier):
    """Stem, stages, mean, linear classifier."""

    def __init__(self, shape: Shape, classes: int, *, squeezes: bool) -> None:
        self.stem = conv_norm(3, _STEM, 3, 2)
        inputs, parts = _STEM, {}
        for number, stage in enumerate(stages(shape), start=1):
            blocks = {}
            for index in range(stage.blocks):
                squeezed = round(_SQUEEZE * inputs) if squeezes else None
                blocks[f"block{number}-{index}"] = Block(inputs, stage, 1 if index else 2, squeezed)
                inputs = stage.width
            parts[f"block{number}"] = Sequential(*blocks.values(), names=list(blocks))
        self.trunk_output = Sequential(*parts.values(), names=list(parts))
        self.avgpool = adaptive_average_pool(1)
        self.fc = Linear(inputs, classes)

    def logits(self, images: Tensor) -> Tensor:
        """(B, 3, H, W) to (B, classes)."""
        x = self.stem(images)
        x = self.trunk_output(x)
        x = self.avgpool(x)
        x = flattened(x)
        return self.fc(x)  # type: ignore[no-any-return]


def build(config: Config, task: str) -> Model:
    """Build the network that the config names."""
    require_classification(task)
    size = config.get("name").removeprefix("regnet_")
    return RegNet(_SHAPES[size], classes_of(config), squeezes=size.startswith("y"))
