"""torchvision's MobileNet v2 and v3 (torchvision 0.28, models/mobilenetv2.py, mobilenetv3.py)."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from vramlint.memory.convolutional import (
    BatchNorm,
    Conv2d,
    InplaceDropout,
    Sequential,
    SqueezeExcitation,
    adaptive_average_pool,
    conv_norm,
    divisible,
    keeps_input,
    relu_inplace,
)
from vramlint.memory.families.vision_heads import FeatureClassifier, classes_of, require_classification
from vramlint.memory.modules import Dropout, Linear, Module
from vramlint.memory.operators.elementwise import add_inplace

if TYPE_CHECKING:
    from vramlint.memory.families.base import Config, Model
    from vramlint.memory.tape import Tensor

MODEL_TYPES = (
    "torchvision/mobilenet_v2",
    "torchvision/mobilenet_v3_large",
    "torchvision/mobilenet_v3_small",
)

# expansion, channels, blocks, stride of the first
_V2 = (
    (1, 16, 1, 1),
    (6, 24, 2, 2),
    (6, 32, 3, 2),
    (6, 64, 4, 2),
    (6, 96, 3, 1),
    (6, 160, 3, 2),
    (6, 320, 1, 1),
)


class _Row(NamedTuple):
    """One block of MobileNet v3: kernel, expanded and output channels, stride, Hardswish and squeeze."""

    kernel: int
    expanded: int
    outputs: int
    stride: int
    marks: str = ""


_LARGE = (
    _Row(3, 16, 16, 1),
    _Row(3, 64, 24, 2),
    _Row(3, 72, 24, 1),
    _Row(5, 72, 40, 2, "squeezes"),
    _Row(5, 120, 40, 1, "squeezes"),
    _Row(5, 120, 40, 1, "squeezes"),
    _Row(3, 240, 80, 2, "hard"),
    _Row(3, 200, 80, 1, "hard"),
    _Row(3, 184, 80, 1, "hard"),
    _Row(3, 184, 80, 1, "hard"),
    _Row(3, 480, 112, 1, "squeezes hard"),
    _Row(3, 672, 112, 1, "squeezes hard"),
    _Row(5, 672, 160, 2, "squeezes hard"),
    _Row(5, 960, 160, 1, "squeezes hard"),
    _Row(5, 960, 160, 1, "squeezes hard"),
)
_SMALL = (
    _Row(3, 16, 16, 2, "squeezes"),
    _Row(3, 72, 24, 2),
    _Row(3, 88, 24, 1),
    _Row(5, 96, 40, 2, "squeezes hard"),
    _Row(5, 240, 40, 1, "squeezes hard"),
    _Row(5, 240, 40, 1, "squeezes hard"),
    _Row(5, 120, 48, 1, "squeezes hard"),
    _Row(5, 144, 48, 1, "squeezes hard"),
    _Row(5, 288, 96, 2, "squeezes hard"),
    _Row(5, 576, 96, 1, "squeezes hard"),
    _Row(5, 576, 96, 1, "squeezes hard"),
)
_V3 = {"mobilenet_v3_large": (_LARGE, 1280), "mobilenet_v3_small": (_SMALL, 1024)}


class InvertedResidualV2(Module):
    """Expansion, depthwise convolution and projection, added to the input where the shape allows it."""

    label = "residual stream"

    def __init__(self, inputs: int, outputs: int, stride: int, expansion: int) -> None:
        hidden = inputs * expansion
        expand = [conv_norm(inputs, hidden, 1, act=keeps_input)] if expansion != 1 else []
        depthwise = conv_norm(hidden, hidden, 3, stride, groups=hidden, act=keeps_input)
        self.conv = Sequential(*expand, depthwise, Conv2d(hidden, outputs, bias=False), BatchNorm(outputs))
        self.adds = stride == 1 and inputs == outputs

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) to (B, C', H', W')."""
        return x + self.conv(x) if self.adds else self.conv(x)  # type: ignore[no-any-return]


class InvertedResidualV3(Module):
    """The same with a squeeze and excitation, other activations, and an addition in place."""

    label = "residual stream"

    def __init__(self, inputs: int, row: _Row) -> None:
        act = keeps_input if "hard" in row.marks else relu_inplace
        parts: list[Module] = []
        if row.expanded != inputs:
            parts.append(conv_norm(inputs, row.expanded, 1, act=act))
        parts.append(
            conv_norm(row.expanded, row.expanded, row.kernel, row.stride, groups=row.expanded, act=act)
        )
        if "squeezes" in row.marks:
            parts.append(SqueezeExcitation(row.expanded, divisible(row.expanded // 4), scale=keeps_input))
        parts.append(conv_norm(row.expanded, row.outputs, 1, act=None))
        self.block = Sequential(*parts)
        self.adds = row.stride == 1 and inputs == row.outputs

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) to (B, C', H', W')."""
        result = self.block(x)
        return add_inplace(result, x) if self.adds else result


def _v2(classes: int) -> FeatureClassifier:
    parts: list[Module] = [conv_norm(3, 32, 3, 2, act=keeps_input)]
    inputs = 32
    for expansion, outputs, count, stride in _V2:
        for index in range(count):
            parts.append(InvertedResidualV2(inputs, outputs, 1 if index else stride, expansion))
            inputs = outputs
    parts.append(conv_norm(inputs, 1280, 1, act=keeps_input))
    classifier = Sequential(Dropout(0.2), Linear(1280, classes))
    return FeatureClassifier(Sequential(*parts), adaptive_average_pool(1), classifier)


def _v3(rows: tuple[_Row, ...], hidden: int, classes: int) -> FeatureClassifier:
    parts: list[Module] = [conv_norm(3, 16, 3, 2, act=keeps_input)]
    inputs = 16
    for row in rows:
        parts.append(InvertedResidualV3(inputs, row))
        inputs = row.outputs
    parts.append(conv_norm(inputs, 6 * inputs, 1, act=keeps_input))
    classifier = Sequential(
        Linear(6 * inputs, hidden), keeps_input(), InplaceDropout(0.2), Linear(hidden, classes)
    )
    return FeatureClassifier(Sequential(*parts), adaptive_average_pool(1), classifier)


def build(config: Config, task: str) -> Model:
    """Build the network that the config names."""
    require_classification(task)
    name, classes = config.get("name"), classes_of(config)
    return _v2(classes) if name == "mobilenet_v2" else _v3(*_V3[name], classes)
