"""SegFormer's encoder as a classifier: four stages of attention to fewer keys (transformers 5.23, models/segformer)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vramlint.memory.convolutional import Conv2d, DropPath, Sequential
from vramlint.memory.families.layers import attend, split_heads
from vramlint.memory.families.vision_heads import require_classification
from vramlint.memory.families.vision_transformer import ImageModel
from vramlint.memory.modules import Dropout, LayerNorm, Linear, Module, Stack
from vramlint.memory.operators.activations import activation
from vramlint.memory.operators.elementwise import copy, reshape
from vramlint.memory.operators.pooling import mean_over
from vramlint.memory.tape import Dim, Tensor

if TYPE_CHECKING:
    from vramlint.memory.families.base import Config, Model, Regime

MODEL_TYPES = ("segformer",)

_DEFAULTS = {
    "num_channels": 3,
    "num_encoder_blocks": 4,
    "depths": [2, 2, 2, 2],
    "sr_ratios": [8, 4, 2, 1],
    "hidden_sizes": [32, 64, 160, 256],
    "patch_sizes": [7, 3, 3, 3],
    "strides": [4, 2, 2, 2],
    "num_attention_heads": [1, 2, 5, 8],
    "mlp_ratios": [4, 4, 4, 4],
    "hidden_act": "gelu",
    "hidden_dropout_prob": 0.0,
    "attention_probs_dropout_prob": 0.0,
    "drop_path_rate": 0.1,
}


def _image(tokens: Tensor, height: int, width: int) -> Tensor:
    """(B, H·W, C) to (B, C, H, W), a view whose channels lie together."""
    rows, _, channels = tokens.shape
    return tokens.transposed(1, 2).view(rows, channels, height, width)


def _tokens(image: Tensor) -> Tensor:
    """(B, C, H, W) with its channels together to (B, H·W, C), a view."""
    rows, channels, height, width = image.shape
    image.contiguous = False  # a convolution keeps its input's order of dimensions
    return image.view(rows, channels, Dim(height * width, "T")).transposed(1, 2)


class PatchEmbeddings(Module):
    """A convolution with overlapping patches, and a norm."""

    label = "embedding"

    def __init__(self, inputs: int, width: int, side: int, stride: int) -> None:
        self.proj = Conv2d(inputs, width, side, stride, side // 2)
        self.layer_norm = LayerNorm(width)

    def forward(self, x: Tensor) -> tuple[Tensor, int, int]:
        """(B, C, H, W) to (B, T, C'), and the new height and width."""
        x = self.proj(x)
        rows, channels, height, width = x.shape
        tokens = x.view(rows, channels, Dim(height * width, "T")).transposed(1, 2)
        return self.layer_norm(tokens), height, width


class Reduction(Module):
    """A convolution that joins neighbouring tokens, and a norm."""

    def __init__(self, width: int, ratio: int) -> None:
        self.sequence_reduction = Conv2d(width, width, ratio, ratio, 0)
        self.layer_norm = LayerNorm(width)

    def forward(self, x: Tensor, height: int, width: int) -> Tensor:
        """(B, T, C) to (B, T', C)."""
        return self.layer_norm(_tokens(self.sequence_reduction(_image(x, height, width))))  # type: ignore[no-any-return]


class Attention(Module):
    """Attention to keys of which there are fewer."""

    label = "attention"

    def __init__(self, config: Config, width: int, heads: int, ratio: int) -> None:
        self.heads, self.p = heads, config.get("attention_probs_dropout_prob")
        self.q_proj = Linear(width, width)
        self.k_proj = Linear(width, width)
        self.v_proj = Linear(width, width)
        self.o_proj = Linear(width, width)
        self.sequence_reduction = Reduction(width, ratio) if ratio > 1 else None

    def forward(self, x: Tensor, height: int, width: int, regime: Regime) -> Tensor:
        """(B, T, C) to (B, T, C)."""
        size = Dim(x.shape[-1] // self.heads, "H")
        query = split_heads(self.q_proj(x), self.heads, size)
        source = x if self.sequence_reduction is None else self.sequence_reduction(x, height, width)
        key = split_heads(self.k_proj(source), self.heads, size)
        value = split_heads(self.v_proj(source), self.heads, size)
        out = attend(query, key, value, None, regime, p=self.p, causal=False)
        return self.o_proj(reshape(out, *x.shape))  # type: ignore[no-any-return]


class DepthWise(Module):
    """A convolution over each channel alone."""

    def __init__(self, width: int) -> None:
        self.dwconv = Conv2d(width, width, 3, groups=width)

    def forward(self, x: Tensor, height: int, width: int) -> Tensor:
        """(B, T, F) to (B, T, F)."""
        return _tokens(self.dwconv(_image(x, height, width)))


class MLP(Module):
    """Two linear layers, a convolution between them."""

    label = "mlp"

    def __init__(self, config: Config, width: int, inner: int) -> None:
        self.fc1 = Linear(width, inner)
        self.dwconv = DepthWise(inner)
        self.act = activation(config.get("hidden_act"))
        self.fc2 = Linear(inner, width)
        self.dropout = Dropout(config.get("hidden_dropout_prob"))

    def forward(self, x: Tensor, height: int, width: int) -> Tensor:
        """(B, T, C) to (B, T, C)."""
        x = self.fc1(x)
        x = self.dwconv(x, height, width)
        x = self.act(x)
        x = self.dropout(x)
        x = self.fc2(x)
        return self.dropout(x)  # type: ignore[no-any-return]


class Layer(Module):
    """Pre-norm attention and MLP, each with a residual."""

    label = "residual stream"

    def __init__(self, config: Config, stage: int, drop: float) -> None:
        width = config.get("hidden_sizes")[stage]
        heads, ratio = config.get("num_attention_heads")[stage], config.get("sr_ratios")[stage]
        inner = Dim(int(width * config.get("mlp_ratios")[stage]), "F")
        self.layernorm_before = LayerNorm(width)
        self.attention = Attention(config, width, heads, ratio)
        self.layernorm_after = LayerNorm(width)
        self.mlp = MLP(config, width, inner)
        self.drop_path = DropPath(drop)
        self.dropout = Dropout(config.get("hidden_dropout_prob"))

    def forward(self, hidden: Tensor, height: int, width: int, regime: Regime) -> Tensor:
        """(B, T, C) to (B, T, C)."""
        residual = hidden
        hidden = self.layernorm_before(hidden)
        hidden = self.attention(hidden, height, width, regime)
        hidden = self.dropout(hidden)
        hidden = self.drop_path(hidden) + residual
        residual = hidden
        hidden = self.layernorm_after(hidden)
        hidden = self.mlp(hidden, height, width)
        return self.drop_path(hidden) + residual  # type: ignore[no-any-return]


class Stage(Module):
    """A new grid of tokens, layers and a norm."""

    def __init__(self, config: Config, stage: int, drops: list[float]) -> None:
        widths = config.get("hidden_sizes")
        inputs = config.get("num_channels") if stage == 0 else widths[stage - 1]
        side, stride = config.get("patch_sizes")[stage], config.get("strides")[stage]
        self.patch_embeddings = PatchEmbeddings(inputs, widths[stage], side, stride)
        kinds = [drop > 0 for drop in drops]
        self.blocks = Stack(len(drops), lambda index: Layer(config, stage, drops[index]), kinds)
        self.layer_norm = LayerNorm(widths[stage])

    def forward(self, x: Tensor, regime: Regime) -> Tensor:
        """(B, C, H, W) to (B, C', H', W')."""
        hidden, height, width = self.patch_embeddings(x)
        hidden = self.blocks(hidden, height, width, regime)
        hidden = self.layer_norm(hidden)
        return copy(_image(hidden, height, width))


class Stages(Module):
    """A module that holds the stages under the name `stages`."""

    def __init__(self, config: Config) -> None:
        depths, rate = config.get("depths"), config.get("drop_path_rate")
        total, done, stages = sum(depths), 0, []
        drops = [rate * index / max(total - 1, 1) for index in range(total)]
        for stage, depth in enumerate(depths):
            stages.append(Stage(config, stage, drops[done : done + depth]))
            done += depth
        self.stages = Sequential(*stages)

    def forward(self, x: Tensor, regime: Regime) -> Tensor:
        """(B, 3, H, W) to (B, C, H/32, W/32)."""
        for stage in self.stages.parts.values():
            x = stage(x, regime)
        return x


class Classifier(ImageModel):
    """A linear classifier on the mean of all places."""

    def pooled(self, hidden: Tensor) -> Tensor:
        """(B, C, H, W) to (B, C)."""
        rows, channels, height, width = hidden.shape
        return mean_over(copy(hidden).view(rows, height * width, channels), 1)


def build(config: Config, task: str) -> Model:
    """Build the model of a config for a task."""
    require_classification(task)
    config = config.completed(_DEFAULTS)
    return Classifier(config, "segformer", Stages(config), config.get("hidden_sizes")[-1])
