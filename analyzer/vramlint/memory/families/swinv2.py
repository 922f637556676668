"""Swin V2: attention by cosines, offsets through a small network, norms behind each block (models/swinv2)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vramlint.memory.convolutional import DropPath, ModuleList, Sequential, relu_inplace
from vramlint.memory.dtypes import INT64
from vramlint.memory.families import swin
from vramlint.memory.families.layers import split_heads
from vramlint.memory.families.vision_heads import image_size_of, require_classification
from vramlint.memory.families.vision_transformer import patch_size
from vramlint.memory.modules import (
    Buffer,
    Dropout,
    FloatBuffer,
    LayerNorm,
    Linear,
    Module,
    Parameter,
    parameter_tensor,
)
from vramlint.memory.operators.activations import activation
from vramlint.memory.operators.elementwise import (
    autocast_fp32,
    contiguous,
    copy,
    dropout,
    narrow,
    unary,
    unary_saving_result,
)
from vramlint.memory.operators.indexing import take_rows
from vramlint.memory.operators.matmul import batched
from vramlint.memory.operators.normalization import unit_length
from vramlint.memory.operators.softmax import softmax
from vramlint.memory.operators.windows import from_windows, pad, roll, to_windows
from vramlint.memory.tape import Dim, Tensor

if TYPE_CHECKING:
    from vramlint.memory.families.base import Config, Model, Regime

MODEL_TYPES = ("swinv2",)

_HIDDEN = 512  # the width of the network that turns offsets into biases


class SelfAttention(Module):
    """Attention inside windows by the cosine of queries and keys."""

    def __init__(self, config: Config, width: int, heads: int, window: int) -> None:
        bias = config.get("qkv_bias", default=True)
        self.heads, self.places, self.offsets = heads, window**2, (2 * window - 1) ** 2
        self.logit_scale = Parameter(heads, 1, 1)
        side, first = 2 * window - 1, Linear(2, _HIDDEN)
        self.continuous_position_bias_mlp = Sequential(
            first, relu_inplace(), Linear(_HIDDEN, heads, bias=False)
        )
        self.relative_coords_table = FloatBuffer(1, side, side, 2, like=first.weight)
        self.relative_position_index = Buffer(self.places, self.places, dtype=INT64)
        self.query = Linear(width, width, bias=bias)
        self.key = Linear(width, width, bias=False)
        self.value = Linear(width, width, bias=bias)
        self.p = config.get("attention_probs_dropout_prob", 0.0)

    def bias(self) -> Tensor:
        """Return the bias of shape (1, heads, window², window²)."""
        offsets, index = self.relative_coords_table.tensor, self.relative_position_index.tensor
        assert offsets is not None
        assert index is not None
        table = self.continuous_position_bias_mlp(offsets).view(self.offsets, self.heads)
        bias = take_rows(table, (index,), self.places**2, self.heads)
        bias = copy(bias).view(1, self.heads, self.places, self.places)
        return 16.0 * unary_saving_result(bias)

    def forward(self, x: Tensor, mask: Tensor | None) -> Tensor:
        """(windows, places, C) to (windows, places, C)."""
        count, places, width = x.shape
        size = Dim(width // self.heads, "H")
        query = split_heads(self.query(x), self.heads, size)
        key = split_heads(self.key(x), self.heads, size)
        value = split_heads(self.value(x), self.heads, size)
        scores = batched(contiguous(unit_length(query)), contiguous(unit_length(key)).transposed(2, 3))
        scores = scores * unary_saving_result(autocast_fp32(unary(parameter_tensor(self.logit_scale))))
        bias = self.bias()
        scores = scores + bias
        if mask is not None:
            shifts = mask.shape[0]
            shape = (count // shifts, shifts, self.heads, places, places)
            wide = mask.view(1, shifts, 1, places, places)
            scores = ((scores.view(*shape) + wide) + wide).view(count, self.heads, places, places)
        weights = dropout(softmax(scores), self.p)
        out = copy(batched(weights, contiguous(value)).transposed(1, 2)).view(count, places, width)
        del bias, scores
        return out


class Output(Module):
    """A linear layer and dropout."""

    def __init__(self, inputs: int, outputs: int, p: float) -> None:
        self.dense = Linear(inputs, outputs)
        self.dropout = Dropout(p)

    def forward(self, x: Tensor) -> Tensor:
        """(…, in) to (…, out)."""
        return self.dropout(self.dense(x))  # type: ignore[no-any-return]


class Attention(Module):
    """Self-attention and its output projection."""

    label = "attention"

    def __init__(self, config: Config, width: int, heads: int, window: int) -> None:
        self.self = SelfAttention(config, width, heads, window)
        self.output = Output(width, width, config.get("attention_probs_dropout_prob", 0.0))

    def forward(self, x: Tensor, mask: Tensor | None) -> Tensor:
        """(windows, places, C) to (windows, places, C)."""
        attended = self.self(x, mask)
        return self.output(attended)  # type: ignore[no-any-return]


class Intermediate(Module):
    """The first linear layer of the MLP and its activation."""

    label = "mlp"

    def __init__(self, config: Config, width: int, inner: int) -> None:
        self.dense = Linear(width, inner)
        self.act = activation(config.get("hidden_act", "gelu"))

    def forward(self, x: Tensor) -> Tensor:
        """(…, C) to (…, F)."""
        x = self.dense(x)
        return self.act(x)


class Layer(Module):
    """Attention in windows, shifted in every other layer, and an MLP, each with a norm behind and a residual."""

    label = "residual stream"

    def __init__(self, config: Config, width: int, heads: int, side: int, drop: float, *, odd: bool) -> None:
        self.window = min(side, config.get("window_size", 7))
        self.shifted = odd and side > self.window
        inner = Dim(int(config.get("mlp_ratio", 4.0) * width), "F")
        self.attention = Attention(config, width, heads, self.window)
        self.layernorm_before = LayerNorm(width)
        self.drop_path = DropPath(drop)
        self.intermediate = Intermediate(config, width, inner)
        self.output = Output(inner, width, config.get("hidden_dropout_prob", 0.0))
        self.layernorm_after = LayerNorm(width)

    def forward(self, hidden: Tensor, height: int, width: int, _: Regime) -> Tensor:
        """(B, H·W, C) to (B, H·W, C)."""
        shortcut = hidden
        attended, *others = self._attended(hidden, height, width)
        hidden = self.layernorm_before(attended)
        hidden = shortcut + self.drop_path(hidden)
        out = self.intermediate(hidden)
        out = self.output(out)
        out = hidden + self.drop_path(self.layernorm_after(out))
        del others
        return out  # type: ignore[no-any-return]

    def _attended(self, hidden: Tensor, height: int, width: int) -> list[Tensor]:
        """Return the attended tokens, and the variables that live to the end of the real function."""
        rows, length, channels = hidden.shape
        window = self.window
        down, across = -(-height // window) * window, -(-width // window) * window
        x = pad(hidden.view(rows, height, width, channels), down, across)
        rolled = roll(x) if self.shifted else x
        windows = to_windows(rolled, window)
        mask = None
        if self.shifted:
            mask = x.tape.empty((windows.shape[0] // rows, window**2, window**2), x.dtype)
        attended = self.attention(windows, mask)
        joined = from_windows(attended, rows, down, across)
        out = roll(joined) if self.shifted else joined
        if (down, across) != (height, width):
            out = contiguous(narrow(narrow(out, 1, height), 2, width))
        return [out.view(rows, length, channels), x, rolled, windows, attended, joined]


class PatchMerging(swin.PatchMerging):
    """Four neighbours become one token of twice the width, normed at the end."""

    def __init__(self, width: int) -> None:
        super().__init__(width)
        self.norm = LayerNorm(2 * width)

    def reduced(self, merged: Tensor) -> Tensor:
        """(B, T, 4C) to (B, T, 2C)."""
        return self.norm(self.reduction(merged))  # type: ignore[no-any-return]


class Stage(Module):
    """Layers of one width, and perhaps a merging after them."""

    def __init__(
        self, config: Config, width: int, heads: int, side: int, drops: list[float], *, merges: bool
    ) -> None:
        layers = [
            Layer(config, width, heads, side, drop, odd=index % 2 == 1) for index, drop in enumerate(drops)
        ]
        self.blocks = ModuleList(*layers)
        self.downsample = PatchMerging(width) if merges else None

    def forward(self, hidden: Tensor, height: int, width: int, regime: Regime) -> Tensor:
        """(B, H·W, C) to (B, H·W/4, 2C), or unmerged."""
        for layer in self.blocks:
            hidden = layer(hidden, height, width, regime)
        return hidden if self.downsample is None else self.downsample(hidden, height, width)


class Stages(swin.Stages):
    """A module that holds the stages under the name `layers`."""

    def make(self, config: Config, index: int, heads: int, drops: list[float]) -> Module:
        """Return one stage."""
        side = min(image_size_of(config, 224)) // patch_size(config, 4) // 2**index
        return Stage(config, self.width * 2**index, heads, side, drops, merges=index < self.last)


class Encoder(swin.Encoder):
    """Embeddings, stages and a final norm."""

    stages = Stages


def build(config: Config, task: str) -> Model:
    """Build the model of a config for a task."""
    require_classification(task)
    body = Encoder(config)
    return swin.Classifier(config, "swinv2", body, body.features)
