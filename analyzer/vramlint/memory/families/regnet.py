"""RegNet (transformers 5.23, models/regnet)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vramlint.memory.convolutional import Conv2d, Sequential, adaptive_average_pool, relu, sigmoid
from vramlint.memory.families import resnet
from vramlint.memory.families.resnet import Classifier, ConvLayer
from vramlint.memory.families.vision_heads import require_classification
from vramlint.memory.modules import Module
from vramlint.memory.operators.activations import activation
from vramlint.memory.operators.elementwise import add_inplace

if TYPE_CHECKING:
    from vramlint.memory.families.base import Config, Model
    from vramlint.memory.tape import Tensor

MODEL_TYPES = ("regnet",)

_DEFAULTS = {
    "embedding_size": 32,
    "hidden_sizes": [128, 192, 512, 1088],
    "depths": [2, 6, 12, 2],
    "groups_width": 64,
    "layer_type": "y",
    "hidden_act": "relu",
    "downsample_in_first_stage": True,
}


class Squeeze(Module):
    """A factor per channel from the channels' means."""

    label = "squeeze and excitation"

    def __init__(self, channels: int, squeezed: int) -> None:
        self.pooler = adaptive_average_pool(1)
        self.attention = Sequential(Conv2d(channels, squeezed), relu(), Conv2d(squeezed, channels), sigmoid())

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) to (B, C, H, W)."""
        return x * self.attention(self.pooler(x))  # type: ignore[no-any-return]


class Layer(Module):
    """Three convolutions, the second in groups, and a residual."""

    label = "residual stream"

    def __init__(self, config: Config, inputs: int, outputs: int, stride: int) -> None:
        act = config.get("hidden_act")
        groups = max(1, outputs // config.get("groups_width"))
        self.shortcut = ConvLayer(inputs, outputs, 1, stride) if inputs != outputs or stride != 1 else None
        squeeze = [Squeeze(outputs, round(inputs / 4))] if config.get("layer_type") == "y" else []
        self.layer = Sequential(
            ConvLayer(inputs, outputs, 1, act=act),
            ConvLayer(outputs, outputs, 3, stride, act, groups),
            *squeeze,
            ConvLayer(outputs, outputs, 1),
        )
        self.act = activation(act)

    def forward(self, hidden: Tensor) -> Tensor:
        """(B, C, H, W) to (B, C', H', W')."""
        residual = hidden
        hidden = self.layer(hidden)
        if self.shortcut is not None:
            residual = self.shortcut(residual)
        hidden = add_inplace(hidden, residual)
        return self.act(hidden)


class Stage(Module):
    """Layers of one width."""

    def __init__(self, config: Config, inputs: int, outputs: int, depth: int, stride: int) -> None:
        others = [Layer(config, outputs, outputs, 1) for _ in range(depth - 1)]
        self.layers = Sequential(Layer(config, inputs, outputs, stride), *others)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) to (B, C', H', W')."""
        return self.layers(x)  # type: ignore[no-any-return]


class Stem(Module):
    """One convolution."""

    def __init__(self, config: Config, width: int) -> None:
        self.embedder = ConvLayer(config.get("num_channels", 3), width, 3, 2, config.get("hidden_act"))

    def forward(self, x: Tensor) -> Tensor:
        """(B, 3, H, W) to (B, C, H/2, W/2)."""
        return self.embedder(x)  # type: ignore[no-any-return]


class Stages(Module):
    """A module that holds the stages under the name `stages`."""

    def __init__(self, config: Config) -> None:
        widths, depths = config.get("hidden_sizes"), config.get("depths")
        first = 2 if config.get("downsample_in_first_stage") else 1
        inputs = (config.get("embedding_size"), *widths[:-1])
        self.stages = Sequential(
            *(
                Stage(config, before, width, depth, first if index == 0 else 2)
                for index, (before, width, depth) in enumerate(zip(inputs, widths, depths, strict=True))
            )
        )


class Encoder(resnet.Encoder):
    """Stem, stages and mean."""

    def __init__(self, config: Config) -> None:
        self.embedder = Stem(config, config.get("embedding_size"))  # type: ignore[assignment]
        self.encoder = Stages(config)  # type: ignore[assignment]
        self.pooler = adaptive_average_pool(1)
        self.features = config.get("hidden_sizes")[-1]


def build(config: Config, task: str) -> Model:
    """Build the model of a config for a task."""
    require_classification(task)
    config = config.completed(_DEFAULTS)
    return Classifier(config, "regnet", Encoder(config))
