"""ConvNeXt (transformers 5.23, models/convnext)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vramlint.memory.convolutional import Conv2d, DropPath, Sequential
from vramlint.memory.families.torchvision_convnext import LayerNorm2d
from vramlint.memory.families.vision_heads import require_classification
from vramlint.memory.families.vision_transformer import ImageModel
from vramlint.memory.modules import LayerNorm, Linear, Module, Parameter, parameter_tensor
from vramlint.memory.operators.activations import activation
from vramlint.memory.operators.elementwise import mean_last
from vramlint.memory.operators.normalization import vector_norm
from vramlint.memory.operators.pooling import mean_over

if TYPE_CHECKING:
    from vramlint.memory.families.base import Config, Model, Regime
    from vramlint.memory.tape import Tensor

MODEL_TYPES = ("convnext", "convnextv2")


class Layer(Module):
    """Depthwise 7 × 7 convolution, layer norm, and an MLP over the channels, with a scaled residual."""

    label = "residual stream"

    def __init__(self, config: Config, width: int, drop: float) -> None:
        self.dwconv = Conv2d(width, width, 7, groups=width)
        self.layernorm = LayerNorm(width)
        self.pwconv1 = Linear(width, 4 * width)
        self.act = activation(config.get("hidden_act", "gelu"))
        self.pwconv2 = Linear(4 * width, width)
        second = config.get("model_type") == "convnextv2"
        self.grn = ResponseNorm(4 * width) if second else None
        if not second and config.get("layer_scale_init_value", 1e-6) > 0:
            self.layer_scale_parameter = Parameter(width)
        self.drop_path = DropPath(drop)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) to (B, C, H, W)."""
        residual = x
        x = self.dwconv(x)
        rows, width, height, across = x.shape
        x = self.layernorm(x.view(rows, height, across, width))
        x = self.pwconv1(x)
        x = self.act(x)
        if self.grn is not None:
            x = self.grn(x)
        x = self.pwconv2(x)
        scale = vars(self).get("layer_scale_parameter")
        if scale is not None:
            x = parameter_tensor(scale) * x
        return residual + self.drop_path(x.view(rows, width, height, across))  # type: ignore[no-any-return]


class ResponseNorm(Module):
    """Features times their norm over all places, by the mean of those norms, scaled and added (version 2)."""

    label = "norm"

    def __init__(self, width: int) -> None:
        self.weight = Parameter(1, 1, 1, width)
        self.bias = Parameter(1, 1, 1, width)

    def forward(self, x: Tensor) -> Tensor:
        """(B, H, W, C) to (B, H, W, C)."""
        norms = vector_norm(x, 1, 2)
        factors = norms * (mean_last(norms) + 1e-6)
        return parameter_tensor(self.weight) * (x * factors) + parameter_tensor(self.bias) + x


class Stage(Module):
    """Perhaps a downsampling, then layers."""

    def __init__(self, config: Config, inputs: int, width: int, drops: list[float], *, halves: bool) -> None:
        parts = (LayerNorm2d(inputs), Conv2d(inputs, width, 2, 2, 0)) if halves or inputs != width else ()
        self.downsampling_layer = Sequential(*parts)
        self.layers = Sequential(*(Layer(config, width, drop) for drop in drops))

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) to (B, C', H', W')."""
        x = self.downsampling_layer(x)
        return self.layers(x)  # type: ignore[no-any-return]


class Embeddings(Module):
    """The patch stem."""

    label = "embedding"

    def __init__(self, config: Config, width: int) -> None:
        side = config.get("patch_size", 4)
        self.patch_embeddings = Conv2d(config.get("num_channels", 3), width, side, side, 0)
        self.layernorm = LayerNorm2d(width)

    def forward(self, x: Tensor) -> Tensor:
        """(B, 3, H, W) to (B, C, H, W)."""
        x = self.patch_embeddings(x)
        return self.layernorm(x)  # type: ignore[no-any-return]


class Stages(Module):
    """A module that holds the stages under the name `stages`."""

    def __init__(self, config: Config, widths: list[int], depths: list[int]) -> None:
        rate, total, done = config.get("drop_path_rate", 0.0), sum(depths), 0
        drops = [rate * index / max(total - 1, 1) for index in range(total)]
        stages, inputs = [], widths[0]
        for index, (width, depth) in enumerate(zip(widths, depths, strict=True)):
            stages.append(Stage(config, inputs, width, drops[done : done + depth], halves=index > 0))
            inputs, done = width, done + depth
        self.stages = Sequential(*stages)


class Encoder(Module):
    """Stem and stages, with the norm that pooled features go through."""

    def __init__(self, config: Config) -> None:
        widths = config.get("hidden_sizes", [96, 192, 384, 768])
        self.embeddings = Embeddings(config, widths[0])
        self.encoder = Stages(config, widths, config.get("depths", [3, 3, 9, 3]))
        self.layernorm = LayerNorm(widths[-1])
        self.features = widths[-1]

    def forward(self, pixels: Tensor, _: Regime) -> Tensor:
        """(B, 3, H, W) to (B, C, H', W')."""
        x = self.embeddings(pixels)
        return self.encoder.stages(x)  # type: ignore[no-any-return]


class Classifier(ImageModel):
    """A linear classifier on the normed mean of all places."""

    def pooled(self, hidden: Tensor) -> Tensor:
        """(B, C, H, W) to (B, C)."""
        body: Encoder = getattr(self, self.prefix)
        return body.layernorm(mean_over(hidden, -2, -1))  # type: ignore[no-any-return]


def build(config: Config, task: str) -> Model:
    """Build the model of a config for a task."""
    require_classification(task)
    body = Encoder(config)
    return Classifier(config, str(config.get("model_type")), body, body.features)
