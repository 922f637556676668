"""torchvision's Swin Transformers, both versions (torchvision 0.28, models/swin_transformer.py)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from vramlint.memory.convolutional import (
    Conv2d,
    Permute,
    Sequential,
    StochasticDepth,
    adaptive_average_pool,
    flattened,
    keeps_input,
    relu_inplace,
)
from vramlint.memory.dtypes import INT64
from vramlint.memory.families.vision_heads import ImageClassifier, classes_of, require_classification
from vramlint.memory.modules import Buffer, LayerNorm, Linear, Module, Parameter, parameter_tensor
from vramlint.memory.operators.elementwise import (
    concatenate,
    contiguous,
    copy,
    narrow,
    unary,
    unary_saving_result,
)
from vramlint.memory.operators.indexing import select, take_rows
from vramlint.memory.operators.matmul import autocast_half, batched
from vramlint.memory.operators.normalization import unit_length
from vramlint.memory.operators.softmax import softmax
from vramlint.memory.operators.windows import from_windows, pad, roll, to_windows

if TYPE_CHECKING:
    from vramlint.memory.families.base import Config, Model
    from vramlint.memory.tape import Tensor

MODEL_TYPES = (
    "torchvision/swin_t",
    "torchvision/swin_s",
    "torchvision/swin_b",
    "torchvision/swin_v2_t",
    "torchvision/swin_v2_s",
    "torchvision/swin_v2_b",
)


@dataclass(frozen=True, slots=True)
class Shape:
    """Width of the first stage, blocks and heads of each, and the last block's rate of stochastic depth."""

    width: int
    blocks: tuple[int, int, int, int]
    heads: tuple[int, int, int, int]
    drop: float


_SHAPES = {
    "t": Shape(96, (2, 2, 6, 2), (3, 6, 12, 24), 0.2),
    "s": Shape(96, (2, 2, 18, 2), (3, 6, 12, 24), 0.3),
    "b": Shape(128, (2, 2, 18, 2), (4, 8, 16, 32), 0.5),
}
_WINDOW, _WINDOW_V2 = 7, 8
_BIAS_HIDDEN = 512


class WindowAttention(Module):
    """Attention inside windows, written out in operators, with a bias by relative position."""

    label = "attention"

    def __init__(self, width: int, heads: int, window: int, *, shifts: bool) -> None:
        self.heads, self.window, self.shifts = heads, window, shifts
        self.qkv = Linear(width, 3 * width)
        self.proj = Linear(width, width)
        self.relative_position_index = Buffer(window**4, dtype=INT64)
        self._make_bias()

    def _make_bias(self) -> None:
        self.relative_position_bias_table = Parameter((2 * self.window - 1) ** 2, self.heads)

    def forward(self, x: Tensor) -> Tensor:
        """(B, H, W, C) to (B, H, W, C)."""
        bias = self.position_bias()
        return self._attend(x, bias)

    def position_bias(self) -> Tensor:
        """Return the bias of shape (1, heads, window², window²)."""
        return self._looked_up(parameter_tensor(self.relative_position_bias_table))

    def _looked_up(self, table: Tensor) -> Tensor:
        assert self.relative_position_index.tensor is not None
        places = self.window**2
        bias = take_rows(table, (self.relative_position_index.tensor,), places * places, self.heads)
        return copy(bias).view(1, self.heads, places, places)

    def scores(self, query: Tensor, key: Tensor) -> Tensor:
        """Return the scaled products of queries and keys."""
        query = query * 1.0
        return batched(query, contiguous(key).transposed(-2, -1))

    def _attend(self, image: Tensor, bias: Tensor) -> Tensor:
        rows, height, width, _ = image.shape
        full_height, full_width = (-(-size // self.window) * self.window for size in (height, width))
        shifted = self.shifts and self.window < max(full_height, full_width)
        x = pad(image, full_height, full_width)
        if shifted:
            x = roll(x)
        x = to_windows(x, self.window)
        x = self._within(x, bias, x.shape[0] // rows if shifted else 0)
        x = from_windows(x, rows, full_height, full_width)
        if shifted:
            x = roll(x)
        return contiguous(narrow(narrow(x, 1, height), 2, width))

    def _within(self, x: Tensor, bias: Tensor, masked: int) -> Tensor:
        """Attend inside each window; `masked` is how many windows an image has, 0 without a mask."""
        count, places, channels = x.shape
        qkv = self.qkv(x)
        query, key, value = (self._heads(qkv) for _ in range(3))
        attn = self.scores(query, key)
        attn = attn + bias
        if masked:
            mask = x.tape.empty((1, masked, 1, places, places), x.dtype)
            attn = attn.view(count // masked, masked, self.heads, places, places) + mask
            attn = attn.view(count, self.heads, places, places)
        attn = softmax(attn)
        x = batched(attn, contiguous(value))
        return self.proj(copy(x).view(count, places, channels))  # type: ignore[no-any-return]

    def _heads(self, qkv: Tensor) -> Tensor:
        """Return one of query, key and value as (windows, heads, places, size): a view, in another order."""
        count, places, width = qkv.shape
        part = select(qkv.view(3, count, self.heads, places, width // 3 // self.heads), 0)
        part.contiguous = False
        return part


class WindowAttentionV2(WindowAttention):
    """The second version: cosines instead of products, and the bias from a small network."""

    def _make_bias(self) -> None:
        self.relative_coords_table = Buffer(1, 2 * self.window - 1, 2 * self.window - 1, 2)
        self.logit_scale = Parameter(self.heads, 1, 1)
        self.cpb_mlp = Sequential(
            Linear(2, _BIAS_HIDDEN), relu_inplace(), Linear(_BIAS_HIDDEN, self.heads, bias=False)
        )

    def position_bias(self) -> Tensor:
        """Return the bias of shape (1, heads, window², window²)."""
        assert self.relative_coords_table.tensor is not None
        table = self.cpb_mlp(self.relative_coords_table.tensor)
        bias = self._looked_up(table.view((2 * self.window - 1) ** 2, self.heads))
        return 16 * unary_saving_result(bias)

    def scores(self, query: Tensor, key: Tensor) -> Tensor:
        """Return the scaled cosines of queries and keys."""
        query, key = unit_length(query), unit_length(key)
        attn = batched(query, contiguous(autocast_half(key)).transposed(-2, -1))
        return attn * unary_saving_result(unary(parameter_tensor(self.logit_scale)))


class Block(Module):
    """Norm, attention and norm, MLP, each with a residual; the second version norms the branches' ends."""

    label = "residual stream"

    def __init__(self, width: int, heads: int, drop: float, *, shifts: bool, second: bool) -> None:
        self.second = second
        self.norm1 = LayerNorm(width)
        window = _WINDOW_V2 if second else _WINDOW
        kind = WindowAttentionV2 if second else WindowAttention
        self.attn = kind(width, heads, window, shifts=shifts)
        self.stochastic_depth = StochasticDepth(drop)
        self.norm2 = LayerNorm(width)
        parts = (Linear(width, 4 * width), keeps_input(), Linear(4 * width, width))
        self.mlp = Sequential(*parts, names=["0", "1", "3"])

    def forward(self, x: Tensor) -> Tensor:
        """(B, H, W, C) to (B, H, W, C)."""
        if self.second:
            x = x + self.stochastic_depth(self.norm1(self.attn(x)))
            return x + self.stochastic_depth(self.norm2(self.mlp(x)))  # type: ignore[no-any-return]
        x = x + self.stochastic_depth(self.attn(self.norm1(x)))
        return x + self.stochastic_depth(self.mlp(self.norm2(x)))  # type: ignore[no-any-return]


class PatchMerging(Module):
    """Four neighbours become one token of twice the width."""

    label = "residual stream"

    def __init__(self, width: int, *, second: bool) -> None:
        self.second = second
        self.reduction = Linear(4 * width, 2 * width, bias=False)
        self.norm = LayerNorm(2 * width if second else 4 * width)

    def forward(self, x: Tensor) -> Tensor:
        """(B, H, W, C) to (B, H/2, W/2, 2C)."""
        x = self._neighbours(x)
        if self.second:
            x = self.reduction(x)
            return self.norm(x)  # type: ignore[no-any-return]
        x = self.norm(x)
        return self.reduction(x)  # type: ignore[no-any-return]

    def _neighbours(self, x: Tensor) -> Tensor:
        height, width = (-(-size // 2) * 2 for size in x.shape[1:3])
        x = pad(x, height, width)
        quarters = [narrow(narrow(x, 1, height // 2), 2, width // 2) for _ in range(4)]
        return concatenate(quarters, -1)


class SwinTransformer(ImageClassifier):
    """Patches, four stages with merging between them, mean, linear classifier."""

    def __init__(self, shape: Shape, classes: int, *, second: bool) -> None:
        width, total, done = shape.width, sum(shape.blocks), 0
        parts: list[Module] = [Sequential(Conv2d(3, width, 4, 4, 0), Permute(0, 2, 3, 1), LayerNorm(width))]
        for number, (count, heads) in enumerate(zip(shape.blocks, shape.heads, strict=True)):
            blocks = []
            for index in range(count):
                drop = shape.drop * (done + index) / (total - 1)
                blocks.append(Block(width, heads, drop, shifts=index % 2 == 1, second=second))
            done += count
            parts.append(Sequential(*blocks))
            if number + 1 < len(shape.blocks):
                parts.append(PatchMerging(width, second=second))
                width *= 2
        self.features = Sequential(*parts)
        self.norm = LayerNorm(width)
        self.permute = Permute(0, 3, 1, 2)
        self.avgpool = adaptive_average_pool(1)
        self.head = Linear(width, classes)

    def logits(self, images: Tensor) -> Tensor:
        """(B, 3, H, W) to (B, classes)."""
        x = self.features(images)
        x = self.norm(x)
        x = self.permute(x)
        x = self.avgpool(x)
        x = flattened(x)
        return self.head(x)  # type: ignore[no-any-return]


def build(config: Config, task: str) -> Model:
    """Build the network that the config names."""
    require_classification(task)
    name = config.get("name")
    return SwinTransformer(_SHAPES[name[-1]], classes_of(config), second="_v2_" in name)
