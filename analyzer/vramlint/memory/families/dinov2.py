"""DINOv2, with and without register tokens (transformers 5.23, models/dinov2, dinov2_with_registers)."""

from __future__ import annotations

from vramlint.memory.convolutional import DropPath
from vramlint.memory.families.base import Config, Model, Regime
from vramlint.memory.families.vision_heads import require_classification
from vramlint.memory.families.vision_transformer import (
    ImageModel,
    Layer,
    Names,
    PatchEmbeddings,
    Widths,
    first_place,
    patch_places,
    with_tokens_before,
)
from vramlint.memory.modules import Dropout, LayerNorm, Linear, Module, Parameter, Stack, parameter_tensor
from vramlint.memory.operators.activations import activation
from vramlint.memory.operators.elementwise import concatenate, expand, narrow
from vramlint.memory.operators.pooling import mean_over, whole_gradient
from vramlint.memory.tape import Dim, Tensor

MODEL_TYPES = ("dinov2", "dinov2_with_registers")

_NAMES = Names(before="norm1", after="norm2")


def widths_of(config: Config) -> Widths:
    """Return the encoder's sizes: the inner width is a multiple of the width."""
    width = config.size("D", "hidden_size", default=768)
    inner = Dim(int(width * config.get("mlp_ratio", 4)), "F")
    return Widths.of(Config({**config.values, "intermediate_size": inner}))


class LayerScale(Module):
    """A learned factor per feature."""

    def __init__(self, width: int) -> None:
        self.lambda1 = Parameter(width)

    def forward(self, x: Tensor) -> Tensor:
        """Scale the features."""
        return x * parameter_tensor(self.lambda1)


class GatedMLP(Module):
    """`down(silu(gate(x)) * up(x))`, two thirds as wide."""

    label = "mlp"

    def __init__(self, width: int, inner: int) -> None:
        hidden = Dim((int(inner * 2 / 3) + 7) // 8 * 8, "2F/3")
        self.gate_proj = Linear(width, hidden)
        self.up_proj = Linear(width, hidden)
        self.down_proj = Linear(hidden, width)
        self.act = activation("silu")

    def forward(self, x: Tensor) -> Tensor:
        """(B, T, D) to (B, T, D)."""
        return self.down_proj(self.act(self.gate_proj(x)) * self.up_proj(x))  # type: ignore[no-any-return]


class ScaledLayer(Layer):
    """Both branches scaled by a learned factor, and dropped now and then, before they are added."""

    def __init__(self, config: Config, widths: Widths) -> None:
        super().__init__(widths, _NAMES)
        self.layer_scale1 = LayerScale(widths.width)
        self.layer_scale2 = LayerScale(widths.width)
        self.drop_path = DropPath(config.get("drop_path_rate", 0.0))
        if config.get("use_swiglu_ffn", default=False):
            self.mlp = GatedMLP(widths.width, widths.inner)

    def after_attention(self, x: Tensor) -> Tensor:
        """Scale and drop."""
        return self.drop_path(self.layer_scale1(x))  # type: ignore[no-any-return]

    def after_mlp(self, x: Tensor) -> Tensor:
        """Scale and drop."""
        return self.drop_path(self.layer_scale2(x))  # type: ignore[no-any-return]


class Embeddings(Module):
    """Patches, a class token before them, and a position embedding that is stretched to other sizes."""

    label = "embedding"

    def __init__(self, config: Config, widths: Widths, patch: int = 14) -> None:
        self.cls_token = Parameter(1, 1, widths.width)
        if config.get("use_mask_token", default=True):
            self.mask_token = Parameter(1, widths.width)
        self.patch_embeddings = PatchEmbeddings(config, widths.width, patch)
        self.position_embeddings = Parameter(1, patch_places(config, patch=patch) + 1, widths.width)
        self.dropout = Dropout(widths.dropout)

    def forward(self, pixels: Tensor) -> Tensor:
        """(B, 3, H, W) to (B, T, D)."""
        embeddings = self.patch_embeddings(pixels)
        embeddings = with_tokens_before(embeddings, self.cls_token)
        embeddings = embeddings + self._positions(embeddings)
        return self.dropout(embeddings)  # type: ignore[no-any-return]

    def _positions(self, x: Tensor) -> Tensor:
        """Return the position embedding; for another number of patches a bicubic interpolation of it."""
        positions = parameter_tensor(self.position_embeddings)
        _, length, width = x.shape
        if length == positions.shape[1]:
            return positions
        first, patches = narrow(positions, 1, 1), narrow(positions, 1, positions.shape[1] - 1)
        stretched = x.tape.empty((1, length - 1, width), positions.dtype)
        x.tape.record(stretched, (patches,), whole_gradient)
        return concatenate([first, stretched], 1)


class RegisterEmbeddings(Embeddings):
    """The same with tokens between the class token and the patches, which have no position."""

    def __init__(self, config: Config, widths: Widths) -> None:
        super().__init__(config, widths, patch=16)
        self.registers = registers_of(config)
        self.register_tokens = Parameter(1, self.registers, widths.width)

    def forward(self, pixels: Tensor) -> Tensor:
        """(B, 3, H, W) to (B, T, D)."""
        embeddings = self.patch_embeddings(pixels)
        embeddings = with_tokens_before(embeddings, self.cls_token)
        embeddings = embeddings + self._positions(embeddings)
        rows, length, width = embeddings.shape
        first, patches = narrow(embeddings, 1, 1), narrow(embeddings, 1, length - 1)
        registers = expand(parameter_tensor(self.register_tokens), rows, self.registers, width)
        embeddings = concatenate([first, registers, patches], 1)
        return self.dropout(embeddings)  # type: ignore[no-any-return]


def registers_of(config: Config) -> int:
    """Return how many register tokens there are."""
    none = config.get("model_type") == "dinov2"
    return 0 if none else int(config.get("num_register_tokens", 4))


class Body(Module):
    """A module that holds the stack of layers under the name `layer`."""

    def __init__(self, config: Config, widths: Widths) -> None:
        self.layer = Stack(widths.layers, lambda _: ScaledLayer(config, widths))


class Encoder(Module):
    """Embeddings, layers and a final norm."""

    def __init__(self, config: Config) -> None:
        widths = widths_of(config)
        made = RegisterEmbeddings if registers_of(config) else Embeddings
        self.embeddings = made(config, widths)
        self.encoder = Body(config, widths)
        self.layernorm = LayerNorm(widths.width)

    def forward(self, pixels: Tensor, regime: Regime) -> Tensor:
        """(B, 3, H, W) to (B, T, D)."""
        hidden = self.embeddings(pixels)
        hidden = self.encoder.layer(hidden, None, regime)
        return self.layernorm(hidden)  # type: ignore[no-any-return]


class Classifier(ImageModel):
    """A linear classifier on the class token and the mean of the patches."""

    def __init__(self, config: Config) -> None:
        width, name = widths_of(config).width, str(config.get("model_type"))
        super().__init__(config, name, Encoder(config), Dim(2 * width, "2D"))
        self.registers = registers_of(config)

    def pooled(self, hidden: Tensor) -> Tensor:
        """(B, T, D) to (B, 2D)."""
        token = first_place(hidden)
        patches = narrow(hidden, 1, hidden.shape[1] - 1 - self.registers)
        return concatenate([token, mean_over(patches, 1)], 1)


def build(config: Config, task: str) -> Model:
    """Build the model of a config for a task."""
    require_classification(task)
    return Classifier(config)
