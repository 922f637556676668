"""Swin (transformers 5.23, models/swin)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vramlint.memory.convolutional import DropPath, ModuleList, Sequential
from vramlint.memory.dtypes import INT64
from vramlint.memory.families.layers import attend, split_heads
from vramlint.memory.families.vision_heads import image_size_of, require_classification
from vramlint.memory.families.vision_transformer import MLP, ImageModel, PatchEmbeddings, patch_size
from vramlint.memory.modules import (
    Buffer,
    Dropout,
    LayerNorm,
    Linear,
    Module,
    Parameter,
    parameter_tensor,
)
from vramlint.memory.operators.elementwise import concatenate, contiguous, copy, narrow, reshape
from vramlint.memory.operators.indexing import take_rows
from vramlint.memory.operators.pooling import mean_over
from vramlint.memory.operators.windows import from_windows, pad, roll, to_windows
from vramlint.memory.tape import Dim, Tensor

if TYPE_CHECKING:
    from vramlint.memory.families.base import Config, Model, Regime

MODEL_TYPES = ("swin",)

_EVEN = 2


class RelativePositionBias(Module):
    """A learned bias for each offset inside a window."""

    def __init__(self, heads: int, window: int) -> None:
        self.heads, self.places = heads, window**2
        self.relative_position_bias_table = Parameter((2 * window - 1) ** 2, heads)
        self.relative_position_index = Buffer(self.places**2, dtype=INT64)

    def forward(self) -> Tensor:
        """Return the bias of shape (1, heads, window², window²)."""
        assert self.relative_position_index.tensor is not None
        table = parameter_tensor(self.relative_position_bias_table)
        index = self.relative_position_index.tensor
        bias = take_rows(table, (index,), self.places**2, self.heads)
        return copy(bias).view(1, self.heads, self.places, self.places)


class Attention(Module):
    """Attention inside windows."""

    label = "attention"

    def __init__(self, config: Config, width: int, heads: int, window: int) -> None:
        bias = config.get("qkv_bias", default=True)
        self.heads, self.p = heads, config.get("attention_probs_dropout_prob", 0.0)
        self.q_proj = Linear(width, width, bias=bias)
        self.k_proj = Linear(width, width, bias=bias)
        self.v_proj = Linear(width, width, bias=bias)
        self.o_proj = Linear(width, width)
        self.relative_position_bias = RelativePositionBias(heads, window)

    def forward(self, x: Tensor, mask: Tensor | None, regime: Regime) -> Tensor:
        """(windows, places, C) to (windows, places, C)."""
        count, places, width = x.shape
        size = Dim(width // self.heads, "H")
        query = split_heads(self.q_proj(x), self.heads, size)
        key = split_heads(self.k_proj(x), self.heads, size)
        value = split_heads(self.v_proj(x), self.heads, size)
        bias = combined = self.relative_position_bias.forward()
        if mask is not None:
            mask = x.tape.empty((count, 1, places, places), mask.dtype)
            combined = bias + mask
        out = attend(query, key, value, combined, regime, p=self.p, causal=False)
        out = self.o_proj(reshape(out, *x.shape))
        del bias, mask, combined  # variables of the function
        return out  # type: ignore[no-any-return]


class Layer(Module):
    """Attention in windows, shifted in every other layer, and an MLP, each with a residual."""

    label = "residual stream"

    def __init__(self, config: Config, width: int, heads: int, drop: float, *, shifted: bool) -> None:
        self.window = config.get("window_size", 7)
        self.shifted = shifted
        self.attention = Attention(config, width, heads, self.window)
        self.layernorm_before = LayerNorm(width)
        self.layernorm_after = LayerNorm(width)
        inner = Dim(int(config.get("mlp_ratio", 4.0) * width), "F")
        self.mlp = MLP(width, inner, config.get("hidden_act", "gelu"))
        self.dropout = Dropout(config.get("hidden_dropout_prob", 0.0))
        self.drop_path = DropPath(drop)

    def forward(self, hidden: Tensor, height: int, width: int, regime: Regime) -> Tensor:
        """(B, H·W, C) to (B, H·W, C)."""
        shortcut = hidden
        hidden = self.layernorm_before(hidden)
        hidden = self._attended(hidden, height, width, regime)
        hidden = shortcut + self.drop_path(hidden)
        residual = hidden
        hidden = self.layernorm_after(hidden)
        hidden = self.mlp(hidden)
        return self.dropout(hidden) + residual  # type: ignore[no-any-return]

    def _attended(self, normed: Tensor, height: int, width: int, regime: Regime) -> Tensor:
        rows, length, channels = normed.shape
        window = min(self.window, height, width)
        shifted = self.shifted and min(height, width) > self.window
        down, across = -(-height // window) * window, -(-width // window) * window
        x = pad(normed.view(rows, height, width, channels), down, across)
        windows = to_windows(roll(x) if shifted else x, window)
        mask = None
        if shifted:
            mask = x.tape.empty((windows.shape[0] // rows, window**2, window**2), x.dtype)
        out = self.attention(windows, mask, regime)
        out = self.dropout(out)
        out = from_windows(out, rows, down, across)
        if shifted:
            out = roll(out)
        if (down, across) != (height, width):
            out = contiguous(narrow(narrow(out, 1, height), 2, width))
        return out.view(rows, length, channels)


class PatchMerging(Module):
    """Four neighbours become one token of twice the width."""

    label = "residual stream"

    def __init__(self, width: int) -> None:
        self.reduction = Linear(4 * width, 2 * width, bias=False)
        self.norm = LayerNorm(4 * width)

    def forward(self, x: Tensor, height: int, width: int) -> Tensor:
        """(B, H·W, C) to (B, H·W/4, 2C)."""
        rows, _, channels = x.shape
        down, across = (height + 1) // 2, (width + 1) // 2
        image = x.view(rows, height, width, channels)
        if height % _EVEN or width % _EVEN:
            image = pad(image, 2 * down, 2 * across)
        quarters = [narrow(narrow(image, 1, down), 2, across) for _ in range(4)]
        merged = concatenate(quarters, -1).view(rows, down * across, 4 * channels)
        del quarters
        return self.reduced(merged)

    def reduced(self, merged: Tensor) -> Tensor:
        """(B, T, 4C) to (B, T, 2C)."""
        merged = self.norm(merged)
        return self.reduction(merged)  # type: ignore[no-any-return]


class Stage(Module):
    """Layers of one width, and perhaps a merging after them."""

    def __init__(self, config: Config, width: int, heads: int, drops: list[float], *, merges: bool) -> None:
        layers = [
            Layer(config, width, heads, drop, shifted=index % 2 == 1) for index, drop in enumerate(drops)
        ]
        self.blocks = ModuleList(*layers)
        self.downsample = PatchMerging(width) if merges else None

    def forward(self, hidden: Tensor, height: int, width: int, regime: Regime) -> Tensor:
        """(B, H·W, C) to (B, H·W/4, 2C), or unmerged."""
        for layer in self.blocks:
            hidden = layer(hidden, height, width, regime)
        before = hidden
        if self.downsample is not None:
            hidden = self.downsample(before, height, width)
        spatial = copy(hidden)  # reshaped_hidden_states, which the stage makes whether or not it is asked for
        del spatial, before
        return hidden


class Embeddings(Module):
    """Patches and a norm."""

    label = "embedding"

    def __init__(self, config: Config, width: int) -> None:
        self.patch_embeddings = PatchEmbeddings(config, width, 4)
        self.norm = LayerNorm(width)
        if config.get("use_absolute_embeddings", default=False):
            height, across = image_size_of(config, 224)
            side = patch_size(config, 4)
            self.position_embeddings = Parameter(1, (height // side) * (across // side), width)
        self.dropout = Dropout(config.get("hidden_dropout_prob", 0.0))

    def forward(self, pixels: Tensor) -> Tensor:
        """(B, 3, H, W) to (B, T, C)."""
        embeddings = self.patch_embeddings(pixels)
        embeddings = self.norm(embeddings)
        positions = vars(self).get("position_embeddings")
        if positions is not None:
            embeddings = embeddings + parameter_tensor(positions)
        return self.dropout(embeddings)  # type: ignore[no-any-return]


class Stages(Module):
    """A module that holds the stages under the name `layers`."""

    def __init__(self, config: Config, width: int, depths: list[int], heads: list[int]) -> None:
        rate, total = config.get("drop_path_rate", 0.1), sum(depths)
        drops = [rate * index / max(total - 1, 1) for index in range(total)]
        self.width, self.last = width, len(depths) - 1
        stages, done = [], 0
        for index, (depth, count) in enumerate(zip(depths, heads, strict=True)):
            mine = drops[done : done + depth]
            done += depth
            stages.append(self.make(config, index, count, mine))
        self.layers = Sequential(*stages)

    def make(self, config: Config, index: int, heads: int, drops: list[float]) -> Module:
        """Return one stage; all but the last merge."""
        return Stage(config, self.width * 2**index, heads, drops, merges=index < self.last)

    def forward(self, hidden: Tensor, height: int, width: int, regime: Regime) -> Tensor:
        """(B, T, C) to (B, T', C')."""
        for stage in self.layers.parts.values():
            hidden = stage(hidden, height, width, regime)
            height, width = (height + 1) // 2, (width + 1) // 2
        return hidden


class Encoder(Module):
    """Embeddings, stages and a final norm."""

    stages = Stages

    def __init__(self, config: Config) -> None:
        width = config.size("C", "embed_dim", default=96)
        depths, heads = config.get("depths", [2, 2, 6, 2]), config.get("num_heads", [3, 6, 12, 24])
        self.side = patch_size(config, 4)
        self.features = Dim(width * 2 ** (len(depths) - 1), "D")
        self.embeddings = Embeddings(config, width)
        self.encoder = self.stages(config, width, depths, heads)
        self.layernorm = LayerNorm(self.features)

    def forward(self, pixels: Tensor, regime: Regime) -> Tensor:
        """(B, 3, H, W) to (B, T, D)."""
        hidden = self.embeddings(pixels)
        height, width = (size // self.side for size in pixels.shape[2:])
        hidden = self.encoder(hidden, height, width, regime)
        return self.layernorm(hidden)  # type: ignore[no-any-return]


class Classifier(ImageModel):
    """A linear classifier on the mean of the tokens."""

    def pooled(self, hidden: Tensor) -> Tensor:
        """(B, T, D) to (B, D)."""
        return mean_over(hidden, 1)


def build(config: Config, task: str) -> Model:
    """Build the model of a config for a task."""
    require_classification(task)
    body = Encoder(config)
    return Classifier(config, "swin", body, body.features)
