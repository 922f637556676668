"""BEiT (transformers 5.23, models/beit)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vramlint.memory.convolutional import DropPath
from vramlint.memory.families.vision_heads import image_size_of, require_classification
from vramlint.memory.families.vision_transformer import (
    ImageModel,
    Layer,
    PatchEmbeddings,
    SelfAttention,
    Widths,
    first_place,
    patch_places,
    patch_size,
    with_tokens_before,
)
from vramlint.memory.modules import Dropout, LayerNorm, Linear, Module, Parameter, Stack, parameter_tensor
from vramlint.memory.operators.elementwise import copy, narrow
from vramlint.memory.operators.indexing import take_rows
from vramlint.memory.operators.pooling import mean_over

if TYPE_CHECKING:
    from vramlint.memory.families.base import Config, Model, Regime
    from vramlint.memory.tape import Tensor

MODEL_TYPES = ("beit",)

_OF_THE_CLASS_TOKEN = 3  # offsets to it, from it, and to itself


class RelativePositionBias(Module):
    """A learned bias for each offset between two patches."""

    def __init__(self, config: Config, heads: int) -> None:
        height, width = (size // patch_size(config) for size in image_size_of(config, 224))
        offsets = (2 * height - 1) * (2 * width - 1) + _OF_THE_CLASS_TOKEN
        self.heads, self.places = heads, height * width + 1
        self.relative_position_bias_table = Parameter(offsets, heads)

    def forward(self) -> Tensor:
        """Return the bias of shape (1, heads, T, T)."""
        table = parameter_tensor(self.relative_position_bias_table)
        bias = take_rows(table, (), self.places**2, self.heads)  # the indices are made and kept on the CPU
        return copy(bias).view(1, self.heads, self.places, self.places)


class BeitLayer(Layer):
    """Both branches scaled by a learned factor and dropped now and then; keys have no bias."""

    def __init__(self, config: Config, widths: Widths, drop: float) -> None:
        super().__init__(widths)
        attention: SelfAttention = getattr(self, self.names.attention)
        attention.k_proj = Linear(widths.width, widths.width, bias=False)
        self.lambda_1 = Parameter(widths.width)
        self.lambda_2 = Parameter(widths.width)
        self.drop_path = DropPath(drop)
        if config.get("use_relative_position_bias", default=False):
            self.relative_position_bias = RelativePositionBias(config, widths.heads)

    def forward(self, hidden: Tensor, mask: Tensor | None, regime: Regime) -> Tensor:
        """(B, T, D) to (B, T, D)."""
        bias = vars(self).get("relative_position_bias")
        if bias is not None:
            own = bias.forward()
            mask = own + mask if mask is not None else own
            del own
        return super().forward(hidden, mask, regime)

    def after_attention(self, x: Tensor) -> Tensor:
        """Scale and drop."""
        return self.drop_path(parameter_tensor(self.lambda_1) * super().after_attention(x))  # type: ignore[no-any-return]

    def after_mlp(self, x: Tensor) -> Tensor:
        """Scale and drop."""
        return self.drop_path(parameter_tensor(self.lambda_2) * super().after_mlp(x))  # type: ignore[no-any-return]


class Embeddings(Module):
    """Patches and a class token before them."""

    label = "embedding"

    def __init__(self, config: Config, widths: Widths) -> None:
        self.cls_token = Parameter(1, 1, widths.width)
        if config.get("use_mask_token", default=False):
            self.mask_token = Parameter(1, 1, widths.width)
        self.patch_embeddings = PatchEmbeddings(config, widths.width)
        if config.get("use_absolute_position_embeddings", default=False):
            self.position_embeddings = Parameter(1, patch_places(config) + 1, widths.width)
        self.dropout = Dropout(widths.dropout)

    def forward(self, pixels: Tensor) -> Tensor:
        """(B, 3, H, W) to (B, T, D)."""
        embeddings = self.patch_embeddings(pixels)
        embeddings = with_tokens_before(embeddings, self.cls_token)
        positions = vars(self).get("position_embeddings")
        if positions is not None:
            embeddings = embeddings + parameter_tensor(positions)
        return self.dropout(embeddings)  # type: ignore[no-any-return]


class Pooler(Module):
    """The normed mean of the patches."""

    def __init__(self, width: int) -> None:
        self.layernorm = LayerNorm(width)

    def forward(self, hidden: Tensor) -> Tensor:
        """(B, T, D) to (B, D)."""
        return self.layernorm(mean_over(narrow(hidden, 1, hidden.shape[1] - 1), 1))  # type: ignore[no-any-return]


class Encoder(Module):
    """Embeddings, layers, and a norm before or after pooling."""

    def __init__(self, config: Config) -> None:
        widths = Widths.of(config)
        self.embeddings = Embeddings(config, widths)
        shared = config.get("use_shared_relative_position_bias", default=False)
        self.shared_position_bias = RelativePositionBias(config, widths.heads) if shared else None
        rate, last = config.get("drop_path_rate", 0.1), max(widths.layers - 1, 1)
        self.layers = Stack(widths.layers, lambda index: BeitLayer(config, widths, rate * index / last))
        averages = config.get("use_mean_pooling", default=True)
        self.layernorm = None if averages else LayerNorm(widths.width)
        self.pooler = Pooler(widths.width) if averages else None

    def forward(self, pixels: Tensor, regime: Regime) -> Tensor:
        """(B, 3, H, W) to (B, T, D)."""
        hidden = self.embeddings(pixels)
        mask = None if self.shared_position_bias is None else self.shared_position_bias.forward()
        hidden = self.layers(hidden, mask, regime)
        return hidden if self.layernorm is None else self.layernorm(hidden)  # type: ignore[no-any-return]


class Classifier(ImageModel):
    """A linear classifier on what the pooler makes of the tokens."""

    def pooled(self, hidden: Tensor) -> Tensor:
        """(B, T, D) to (B, D)."""
        body: Encoder = getattr(self, self.prefix)
        return first_place(hidden) if body.pooler is None else body.pooler(hidden)


def build(config: Config, task: str) -> Model:
    """Build the model of a config for a task."""
    require_classification(task)
    return Classifier(config, "beit", Encoder(config), Widths.of(config).width)
