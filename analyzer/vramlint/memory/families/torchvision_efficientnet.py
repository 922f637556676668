"""torchvision's EfficientNet and EfficientNetV2 (torchvision 0.28, models/efficientnet.py)."""

from __future__ import annotations

from math import ceil
from typing import TYPE_CHECKING, NamedTuple

from vramlint.memory.convolutional import (
    InplaceDropout,
    Sequential,
    SqueezeExcitation,
    StochasticDepth,
    adaptive_average_pool,
    conv_norm,
    divisible,
    sigmoid_linear,
)
from vramlint.memory.families.vision_heads import FeatureClassifier, classes_of, require_classification
from vramlint.memory.modules import Linear, Module
from vramlint.memory.operators.elementwise import add_inplace

if TYPE_CHECKING:
    from vramlint.memory.families.base import Config, Model
    from vramlint.memory.tape import Tensor

MODEL_TYPES = (
    "torchvision/efficientnet_b0",
    "torchvision/efficientnet_b1",
    "torchvision/efficientnet_b2",
    "torchvision/efficientnet_b3",
    "torchvision/efficientnet_b4",
    "torchvision/efficientnet_b5",
    "torchvision/efficientnet_b6",
    "torchvision/efficientnet_b7",
    "torchvision/efficientnet_v2_s",
    "torchvision/efficientnet_v2_m",
    "torchvision/efficientnet_v2_l",
)


class Row(NamedTuple):
    """One stage: expansion, kernel, stride of its first block, input and output channels, blocks, fused."""

    expansion: int
    kernel: int
    stride: int
    inputs: int
    outputs: int
    blocks: int
    fused: bool = False


_B0 = (
    Row(1, 3, 1, 32, 16, 1),
    Row(6, 3, 2, 16, 24, 2),
    Row(6, 5, 2, 24, 40, 2),
    Row(6, 3, 2, 40, 80, 3),
    Row(6, 5, 1, 80, 112, 3),
    Row(6, 5, 2, 112, 192, 4),
    Row(6, 3, 1, 192, 320, 1),
)
# width and depth factors, dropout
_SCALES = {
    "b0": (1.0, 1.0, 0.2),
    "b1": (1.0, 1.1, 0.2),
    "b2": (1.1, 1.2, 0.3),
    "b3": (1.2, 1.4, 0.3),
    "b4": (1.4, 1.8, 0.4),
    "b5": (1.6, 2.2, 0.4),
    "b6": (1.8, 2.6, 0.5),
    "b7": (2.0, 3.1, 0.5),
}
_V2 = {
    "v2_s": (
        Row(1, 3, 1, 24, 24, 2, fused=True),
        Row(4, 3, 2, 24, 48, 4, fused=True),
        Row(4, 3, 2, 48, 64, 4, fused=True),
        Row(4, 3, 2, 64, 128, 6),
        Row(6, 3, 1, 128, 160, 9),
        Row(6, 3, 2, 160, 256, 15),
    ),
    "v2_m": (
        Row(1, 3, 1, 24, 24, 3, fused=True),
        Row(4, 3, 2, 24, 48, 5, fused=True),
        Row(4, 3, 2, 48, 80, 5, fused=True),
        Row(4, 3, 2, 80, 160, 7),
        Row(6, 3, 1, 160, 176, 14),
        Row(6, 3, 2, 176, 304, 18),
        Row(6, 3, 1, 304, 512, 5),
    ),
    "v2_l": (
        Row(1, 3, 1, 32, 32, 4, fused=True),
        Row(4, 3, 2, 32, 64, 7, fused=True),
        Row(4, 3, 2, 64, 96, 7, fused=True),
        Row(4, 3, 2, 96, 192, 10),
        Row(6, 3, 1, 192, 224, 19),
        Row(6, 3, 2, 224, 384, 25),
        Row(6, 3, 1, 384, 640, 7),
    ),
}
_V2_DROPOUT = {"v2_s": 0.2, "v2_m": 0.3, "v2_l": 0.4}
_STOCHASTIC_DEPTH = 0.2


class Block(Module):
    """Expansion, depthwise convolution (or both in one, where fused) and projection, with a residual."""

    label = "residual stream"

    def __init__(self, row: Row, drop: float) -> None:
        self.block = Sequential(*(_fused if row.fused else _separate)(row))
        self.stochastic_depth = StochasticDepth(drop)
        self.adds = row.stride == 1 and row.inputs == row.outputs

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) to (B, C', H', W')."""
        result = self.block(x)
        if self.adds:
            result = self.stochastic_depth(result)
            result = add_inplace(result, x)
        return result  # type: ignore[no-any-return]


def _separate(row: Row) -> list[Module]:
    wide = divisible(row.inputs * row.expansion)
    expand = [conv_norm(row.inputs, wide, 1, act=sigmoid_linear)] if wide != row.inputs else []
    return [
        *expand,
        conv_norm(wide, wide, row.kernel, row.stride, groups=wide, act=sigmoid_linear),
        SqueezeExcitation(wide, max(1, row.inputs // 4), activation=sigmoid_linear),
        conv_norm(wide, row.outputs, 1, act=None),
    ]


def _fused(row: Row) -> list[Module]:
    wide = divisible(row.inputs * row.expansion)
    if wide == row.inputs:
        return [conv_norm(row.inputs, row.outputs, row.kernel, row.stride, act=sigmoid_linear)]
    return [
        conv_norm(row.inputs, wide, row.kernel, row.stride, act=sigmoid_linear),
        conv_norm(wide, row.outputs, 1, act=None),
    ]


def scaled_rows(width: float, depth: float) -> tuple[Row, ...]:
    """Return EfficientNet's stages for a width and a depth factor."""
    return tuple(
        row._replace(
            inputs=divisible(row.inputs * width),
            outputs=divisible(row.outputs * width),
            blocks=ceil(row.blocks * depth),
        )
        for row in _B0
    )


def _network(rows: tuple[Row, ...], dropout: float, last: int, classes: int) -> FeatureClassifier:
    total, done = sum(row.blocks for row in rows), 0
    parts: list[Module] = [conv_norm(3, rows[0].inputs, 3, 2, act=sigmoid_linear)]
    for row in rows:
        stage = []
        for index in range(row.blocks):
            shape = row._replace(inputs=row.outputs, stride=1) if index else row
            stage.append(Block(shape, _STOCHASTIC_DEPTH * done / total))
            done += 1
        parts.append(Sequential(*stage))
    parts.append(conv_norm(rows[-1].outputs, last, 1, act=sigmoid_linear))
    classifier = Sequential(InplaceDropout(dropout), Linear(last, classes))
    return FeatureClassifier(Sequential(*parts), adaptive_average_pool(1), classifier)


def build(config: Config, task: str) -> Model:
    """Build the network that the config names."""
    require_classification(task)
    size, classes = config.get("name").removeprefix("efficientnet_"), classes_of(config)
    if size in _V2:
        return _network(_V2[size], _V2_DROPOUT[size], 1280, classes)
    width, depth, dropout = _SCALES[size]
    rows = scaled_rows(width, depth)
    return _network(rows, dropout, 4 * rows[-1].outputs, classes)
