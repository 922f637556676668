"""DenseNet, alike in torchvision 0.28 and timm 1.0.31 (models/densenet.py)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vramlint.memory.convolutional import (
    BatchNorm,
    Conv2d,
    ModuleList,
    Sequential,
    average_pool,
    flattened,
    max_pool,
    relu_inplace,
)
from vramlint.memory.families.vision_heads import ImageClassifier, classes_of, require_classification
from vramlint.memory.modules import Linear, Module
from vramlint.memory.operators.elementwise import concatenate, unary_inplace
from vramlint.memory.operators.pooling import adaptive_average_pool

if TYPE_CHECKING:
    from vramlint.memory.families.base import Config, Model
    from vramlint.memory.tape import Tensor

MODEL_TYPES = (
    "torchvision/densenet121",
    "torchvision/densenet161",
    "torchvision/densenet169",
    "torchvision/densenet201",
    "timm/densenet121",
    "timm/densenet161",
    "timm/densenet169",
    "timm/densenet201",
)

# channels that each layer adds, layers per block, channels of the stem
_SHAPES = {
    "densenet121": (32, (6, 12, 24, 16), 64),
    "densenet161": (48, (6, 12, 36, 24), 96),
    "densenet169": (32, (6, 12, 32, 32), 64),
    "densenet201": (32, (6, 12, 48, 32), 64),
}
_BOTTLENECK = 4


class DenseLayer(Module):
    """Two convolutions on the concatenation of everything before."""

    label = "dense layer"

    def __init__(self, inputs: int, growth: int) -> None:
        self.norm1 = BatchNorm(inputs)
        self.relu1 = relu_inplace()
        self.conv1 = Conv2d(inputs, _BOTTLENECK * growth, bias=False)
        self.norm2 = BatchNorm(_BOTTLENECK * growth)
        self.relu2 = relu_inplace()
        self.conv2 = Conv2d(_BOTTLENECK * growth, growth, 3, bias=False)

    def forward(self, first: Tensor, *others: Tensor) -> Tensor:
        """Return the channels that this layer adds."""
        bottleneck = self._bottleneck([first, *others])
        return self.conv2(self.relu2(self.norm2(bottleneck)))  # type: ignore[no-any-return]

    def _bottleneck(self, features: list[Tensor]) -> Tensor:
        joined = concatenate(features, 1)
        return self.conv1(self.relu1(self.norm1(joined)))  # type: ignore[no-any-return]


class DenseBlock(ModuleList):
    """Layers that each see the outputs of all before them."""

    label = "dense layer"

    def __init__(self, inputs: int, growth: int, count: int) -> None:
        layers = [DenseLayer(inputs + index * growth, growth) for index in range(count)]
        super().__init__(*layers, names=[f"denselayer{index + 1}" for index in range(count)])

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) to (B, C + count · growth, H, W)."""
        features = [x]
        for layer in self:
            features.append(layer(*features))
        return concatenate(features, 1)


def _transition(inputs: int) -> Sequential:
    parts = (BatchNorm(inputs), relu_inplace(), Conv2d(inputs, inputs // 2, bias=False), average_pool(2, 2))
    return Sequential(*parts, names=["norm", "relu", "conv", "pool"])


class DenseNet(ImageClassifier):
    """Stem, dense blocks with transitions between them, classifier."""

    def __init__(self, growth: int, blocks: tuple[int, ...], stem: int, classes: int) -> None:
        parts: dict[str, Module] = {
            "conv0": Conv2d(3, stem, 7, 2, bias=False),
            "norm0": BatchNorm(stem),
            "relu0": relu_inplace(),
            "pool0": max_pool(3, 2, 1),
        }
        width = stem
        for number, count in enumerate(blocks, start=1):
            parts[f"denseblock{number}"] = DenseBlock(width, growth, count)
            width += count * growth
            if number < len(blocks):
                parts[f"transition{number}"] = _transition(width)
                width //= 2
        parts["norm5"] = BatchNorm(width)
        self.features = Sequential(*parts.values(), names=list(parts))
        self.classifier = Linear(width, classes)

    def logits(self, images: Tensor) -> Tensor:
        """(B, 3, H, W) to (B, classes)."""
        features = self.features(images)
        out = unary_inplace(features)
        out = adaptive_average_pool(out, 1, 1)
        out = flattened(out)
        return self.classifier(out)  # type: ignore[no-any-return]


def build(config: Config, task: str) -> Model:
    """Build the network that the config names."""
    require_classification(task)
    return DenseNet(*_SHAPES[config.get("name")], classes_of(config))
