"""torchvision's VGG and AlexNet (torchvision 0.28, models/vgg.py, alexnet.py)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vramlint.memory.convolutional import (
    BatchNorm,
    Conv2d,
    Sequential,
    adaptive_average_pool,
    max_pool,
    relu_inplace,
)
from vramlint.memory.families.vision_heads import FeatureClassifier, classes_of, require_classification
from vramlint.memory.modules import Dropout, Linear, Module

if TYPE_CHECKING:
    from collections.abc import Callable

    from vramlint.memory.families.base import Config, Model

MODEL_TYPES = (
    "torchvision/alexnet",
    "torchvision/vgg11",
    "torchvision/vgg11_bn",
    "torchvision/vgg13",
    "torchvision/vgg13_bn",
    "torchvision/vgg16",
    "torchvision/vgg16_bn",
    "torchvision/vgg19",
    "torchvision/vgg19_bn",
)

_WIDTHS = (64, 128, 256, 512, 512)
_CONVOLUTIONS = {
    "vgg11": (1, 1, 2, 2, 2),
    "vgg13": (2, 2, 2, 2, 2),
    "vgg16": (2, 2, 3, 3, 3),
    "vgg19": (2, 2, 4, 4, 4),
}
_HIDDEN = 4096


def _vgg(name: str, classes: int) -> FeatureClassifier:
    parts: list[Module] = []
    inputs = 3
    for width, count in zip(_WIDTHS, _CONVOLUTIONS[name.removesuffix("_bn")], strict=True):
        for _ in range(count):
            norm = [BatchNorm(width)] if name.endswith("_bn") else []
            parts += [Conv2d(inputs, width, 3), *norm, relu_inplace()]
            inputs = width
        parts.append(max_pool(2, 2))
    classifier = Sequential(
        Linear(inputs * 7 * 7, _HIDDEN),
        relu_inplace(),
        Dropout(0.5),
        Linear(_HIDDEN, _HIDDEN),
        relu_inplace(),
        Dropout(0.5),
        Linear(_HIDDEN, classes),
    )
    return FeatureClassifier(Sequential(*parts), adaptive_average_pool(7), classifier)


def _alexnet(_: str, classes: int) -> FeatureClassifier:
    features = Sequential(
        Conv2d(3, 64, 11, 4, 2),
        relu_inplace(),
        max_pool(3, 2),
        Conv2d(64, 192, 5),
        relu_inplace(),
        max_pool(3, 2),
        Conv2d(192, 384, 3),
        relu_inplace(),
        Conv2d(384, 256, 3),
        relu_inplace(),
        Conv2d(256, 256, 3),
        relu_inplace(),
        max_pool(3, 2),
    )
    classifier = Sequential(
        Dropout(0.5),
        Linear(256 * 6 * 6, _HIDDEN),
        relu_inplace(),
        Dropout(0.5),
        Linear(_HIDDEN, _HIDDEN),
        relu_inplace(),
        Linear(_HIDDEN, classes),
    )
    return FeatureClassifier(features, adaptive_average_pool(6), classifier)


def build(config: Config, task: str) -> Model:
    """Build the network that the config names."""
    require_classification(task)
    name: str = config.get("name")
    make: Callable[[str, int], FeatureClassifier] = _alexnet if name == "alexnet" else _vgg
    return make(name, classes_of(config))
