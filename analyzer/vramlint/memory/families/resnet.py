"""ResNet (transformers 5.23, models/resnet): torchvision's with activations that are not in place."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vramlint.memory.convolutional import (
    BatchNorm,
    Conv2d,
    Sequential,
    adaptive_average_pool,
    flattened,
    max_pool,
)
from vramlint.memory.families.base import Batch, Config, InputSpec, Model, Output, Regime, Sizes
from vramlint.memory.families.heads import class_loss
from vramlint.memory.families.vision_heads import classes_of, image_inputs, require_classification
from vramlint.memory.modules import Linear, Module
from vramlint.memory.operators.activations import activation
from vramlint.memory.operators.elementwise import add_inplace

if TYPE_CHECKING:
    from vramlint.memory.tape import Tensor

MODEL_TYPES = ("resnet",)

_REDUCTION = 4


class ConvLayer(Module):
    """Convolution, batch norm, and perhaps an activation."""

    def __init__(  # noqa: PLR0917  in the order of Conv2d
        self,
        inputs: int,
        outputs: int,
        kernel: int,
        stride: int = 1,
        act: str | None = None,
        groups: int = 1,
    ) -> None:
        self.convolution = Conv2d(inputs, outputs, kernel, stride, bias=False, groups=groups)
        self.normalization = BatchNorm(outputs)
        self.act = activation(act) if act else None

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) to (B, C', H', W')."""
        x = self.convolution(x)
        x = self.normalization(x)
        return x if self.act is None else self.act(x)


class Layer(Module):
    """Two or three convolutions and a residual."""

    label = "residual stream"

    def __init__(self, config: Config, inputs: int, outputs: int, stride: int) -> None:
        act = config.get("hidden_act", "relu")
        self.shortcut = ConvLayer(inputs, outputs, 1, stride) if inputs != outputs or stride != 1 else None
        self.layer = Sequential(*_convolutions(config, inputs, outputs, stride, act))
        self.act = activation(act)

    def forward(self, hidden: Tensor) -> Tensor:
        """(B, C, H, W) to (B, C', H', W')."""
        residual = hidden
        hidden = self.layer(hidden)
        if self.shortcut is not None:
            residual = self.shortcut(residual)
        hidden = add_inplace(hidden, residual)
        return self.act(hidden)


def _convolutions(config: Config, inputs: int, outputs: int, stride: int, act: str) -> list[ConvLayer]:
    if config.get("layer_type", "bottleneck") == "basic":
        return [ConvLayer(inputs, outputs, 3, stride, act), ConvLayer(outputs, outputs, 3)]
    inner, early = outputs // _REDUCTION, config.get("downsample_in_bottleneck", default=False)
    return [
        ConvLayer(inputs, inner, 1, stride if early else 1, act),
        ConvLayer(inner, inner, 3, 1 if early else stride, act),
        ConvLayer(inner, outputs, 1),
    ]


class Stage(Module):
    """Layers of one width."""

    def __init__(self, config: Config, inputs: int, outputs: int, depth: int, stride: int) -> None:
        others = [Layer(config, outputs, outputs, 1) for _ in range(depth - 1)]
        self.layers = Sequential(Layer(config, inputs, outputs, stride), *others)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) to (B, C', H', W')."""
        return self.layers(x)  # type: ignore[no-any-return]


class Stem(Module):
    """A wide convolution and a pooling."""

    def __init__(self, config: Config, width: int) -> None:
        self.embedder = ConvLayer(
            config.get("num_channels", 3), width, 7, 2, config.get("hidden_act", "relu")
        )
        self.pooler = max_pool(3, 2, 1)

    def forward(self, x: Tensor) -> Tensor:
        """(B, 3, H, W) to (B, C, H/4, W/4)."""
        x = self.embedder(x)
        return self.pooler(x)  # type: ignore[no-any-return]


class Stages(Module):
    """A module that holds the stages under the name `stages`."""

    def __init__(self, config: Config, stem: int, widths: list[int]) -> None:
        first = 2 if config.get("downsample_in_first_stage", default=False) else 1
        depths, inputs = config.get("depths", [3, 4, 6, 3]), (stem, *widths[:-1])
        self.stages = Sequential(
            *(
                Stage(config, before, width, depth, first if index == 0 else 2)
                for index, (before, width, depth) in enumerate(zip(inputs, widths, depths, strict=True))
            )
        )


class Encoder(Module):
    """Stem, stages and mean."""

    def __init__(self, config: Config) -> None:
        stem, widths = config.get("embedding_size", 64), config.get("hidden_sizes", [256, 512, 1024, 2048])
        self.embedder = Stem(config, stem)
        self.encoder = Stages(config, stem, widths)
        self.pooler = adaptive_average_pool(1)
        self.features = widths[-1]

    def forward(self, pixels: Tensor) -> tuple[Tensor, Tensor]:
        """(B, 3, H, W) to states (B, C, H', W') and features (B, C, 1, 1)."""
        x = self.embedder(pixels)
        x = self.encoder.stages(x)
        return x, self.pooler(x)


class Classifier(Model):
    """A linear classifier on the mean of all places."""

    def __init__(self, config: Config, prefix: str, body: Encoder) -> None:
        self.prefix = prefix
        setattr(self, prefix, body)
        self.classifier = Sequential(Linear(body.features, classes_of(config)), names=["1"])

    def inputs(self, sizes: Sizes) -> tuple[InputSpec, ...]:
        """Return images and labels."""
        return image_inputs(sizes)

    def forward(self, batch: Batch, regime: Regime) -> Output:
        """Return the loss of classification."""
        hidden, pooled = getattr(self, self.prefix)(batch["pixel_values"])
        logits = self.classifier(flattened(pooled))
        logits.tape.arena.label = "loss"
        return Output(class_loss(logits, batch["labels"], regime), logits, [hidden, pooled])


def build(config: Config, task: str) -> Model:
    """Build the model of a config for a task."""
    require_classification(task)
    return Classifier(config, "resnet", Encoder(config))
