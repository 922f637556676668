"""Blocks of diffusers' U-Nets and autoencoders: residual convolutions, transformers on feature maps, changes of size.

Source: diffusers 0.42, models/{resnet,downsampling,upsampling}.py, models/unets/unet_2d_blocks.py and
models/transformers/transformer_2d.py.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from vramlint.memory.convolutional import Blocks, Conv2d, GroupNorm, ModuleList
from vramlint.memory.families.denoiser import Attention, Condition, FeedForward
from vramlint.memory.modules import Dropout, LayerNorm, Linear, Module, Stack
from vramlint.memory.operators.activations import silu
from vramlint.memory.operators.elementwise import concatenate, contiguous, split
from vramlint.memory.operators.resizing import nearest, zero_padded
from vramlint.memory.tape import Dim

if TYPE_CHECKING:
    from vramlint.memory.families.base import Config, Regime
    from vramlint.memory.tape import Shape, Tensor


@dataclass(frozen=True, slots=True)
class Level:
    """One resolution: widths, depth, and which attention it has.

    `heads` and `head` None mean no attention; `source` None that it attends to the image alone;
    `layers` 0 that the attention stands alone, without a transformer around it.
    """

    inputs: int
    width: int
    depth: int
    time: int | None
    groups: int
    heads: int | None = None
    source: int | None = None
    layers: int = 0
    linear: bool = False
    dropout: float = 0.0
    scale_shift: bool = False
    resizes: bool = True
    keeps_border: bool = False  # an autoencoder pads below and to the right alone


class ResnetBlock(Module):
    """Two convolutions, each behind norm and activation, the embedded time between them, and a residual."""

    label = "residual block"

    def __init__(self, level: Level, inputs: int, outputs: int) -> None:
        self.norm1 = GroupNorm(level.groups, inputs)
        self.conv1 = Conv2d(inputs, outputs, 3)
        self.scale_shift = level.scale_shift
        if level.time is not None:
            self.time_emb_proj = Linear(level.time, outputs * (2 if level.scale_shift else 1))
        self.norm2 = GroupNorm(level.groups, outputs)
        self.dropout = Dropout(level.dropout)
        self.conv2 = Conv2d(outputs, outputs, 3)
        self.conv_shortcut = Conv2d(inputs, outputs) if inputs != outputs else None

    def forward(self, x: Tensor, time: Tensor | None) -> Tensor:
        """(B, C, H, W) to (B, out, H, W)."""
        hidden = self.norm1(x)
        hidden = silu(hidden)
        hidden = self.conv1(hidden)
        if time is not None:
            time = silu(time)
            time = self.time_emb_proj(time)
            time = time.view(*time.shape, 1, 1)
        if self.scale_shift and time is not None:
            scale, shift = split(time, [hidden.shape[1]] * 2, 1)
            hidden = self.norm2(hidden)
            hidden = hidden * (scale + 1.0) + shift
        else:
            hidden = hidden + time if time is not None else hidden
            hidden = self.norm2(hidden)
        hidden = silu(hidden)
        hidden = self.dropout(hidden)
        hidden = self.conv2(hidden)
        if self.conv_shortcut is not None:
            x = self.conv_shortcut(contiguous(x))
        return (x + hidden) * 1.0  # type: ignore[no-any-return]


class Downsample(Module):
    """A convolution of stride two."""

    label = "residual block"

    def __init__(self, level: Level) -> None:
        self.conv = Conv2d(level.width, level.width, 3, 2, 0 if level.keeps_border else 1)
        self.pads = level.keeps_border

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) to (B, C, H/2, W/2)."""
        if self.pads:
            x = zero_padded(x, 1, 1)
        return self.conv(x)  # type: ignore[no-any-return]


class Upsample(Module):
    """Nearest neighbours and a convolution."""

    label = "residual block"

    def __init__(self, width: int) -> None:
        self.conv = Conv2d(width, width, 3)

    def forward(self, x: Tensor, height: int, width: int) -> Tensor:
        """(B, C, h, w) to (B, C, H, W)."""
        x = nearest(x, height, width)
        return self.conv(x)  # type: ignore[no-any-return]


class ImageAttention(Attention):
    """Attention of a feature map's places to each other, with a norm before it and a residual."""

    def __init__(self, level: Level) -> None:
        assert level.heads is not None
        super().__init__(level.width, None, level.heads, level.width // level.heads, bias=True)
        self.group_norm = GroupNorm(level.groups, level.width)

    def forward(self, x: Tensor, source: Tensor | None, regime: Regime) -> Tensor:
        """(B, C, H, W) to (B, C, H, W)."""
        rows, channels, height, width = x.shape
        hidden = self.group_norm(x.view(rows, channels, height * width)).transposed(1, 2)
        hidden = super().forward(_as_rows(hidden), source, regime)
        hidden = hidden.transposed(1, 2).view(rows, channels, height, width)
        return (hidden + x) * 1.0


def _as_rows(x: Tensor) -> Tensor:
    """Return (B, T, D) as a product takes it: one image's places need no copy, whatever their order in memory."""
    if x.shape[0] == 1:
        x.contiguous = True
    return x


class TransformerBlock(Module):
    """Self-attention, attention to the text, MLP; each with a norm before it and a residual."""

    label = "residual stream"

    def __init__(self, level: Level) -> None:
        assert level.heads is not None
        width, heads = level.width, level.heads
        self.norm1 = LayerNorm(width)
        self.attn1 = Attention(width, None, heads, width // heads)
        self.norm2 = LayerNorm(width)
        self.attn2 = Attention(width, level.source, heads, width // heads)
        self.norm3 = LayerNorm(width)
        self.ff = FeedForward(width)

    def forward(self, x: Tensor, around: Condition) -> Tensor:
        """(B, T, D) to (B, T, D)."""
        normed = self.norm1(x)
        out = self.attn1(normed, None, around.regime)
        x = out + x
        normed = self.norm2(x)
        out = self.attn2(normed, around.text, around.regime)
        x = out + x
        normed = self.norm3(x)
        out = self.ff(normed)
        return out + x  # type: ignore[no-any-return]


class ImageTransformer(Module):
    """`Transformer2DModel`: transformer blocks on the places of a feature map."""

    label = "residual stream"

    def __init__(self, level: Level) -> None:
        self.norm = GroupNorm(level.groups, level.width)
        self.linear = level.linear
        project = Linear if level.linear else Conv2d
        self.proj_in = project(level.width, level.width)
        self.transformer_blocks = Stack(level.layers, lambda _: TransformerBlock(level))
        self.proj_out = project(level.width, level.width)

    def forward(self, x: Tensor, around: Condition) -> Tensor:
        """(B, C, H, W) to (B, C, H, W)."""
        rows, channels, height, width = x.shape
        hidden = self.norm(x)
        if not self.linear:
            hidden = self.proj_in(hidden)
        hidden = hidden.view(rows, channels, height * width).transposed(1, 2)
        if self.linear:
            hidden = self.proj_in(_as_rows(hidden))
        hidden = self.transformer_blocks(hidden, around)
        if self.linear:
            hidden = self.proj_out(hidden)
        hidden = contiguous(hidden.transposed(1, 2)).view(rows, channels, height, width)
        if not self.linear:
            hidden = self.proj_out(hidden)
        return hidden + x  # type: ignore[no-any-return]


def _attentions(level: Level, count: int) -> ModuleList | None:
    if level.heads is None:
        return None
    make = ImageTransformer if level.layers else ImageAttention
    return ModuleList(*(make(level) for _ in range(count)))


class _Level(Module):
    """What blocks on the way down, in the middle and up have in common."""

    attentions: ModuleList | None

    def _attend(self, index: int, x: Tensor, around: Condition) -> Tensor:
        if self.attentions is None:
            return x
        attention = self.attentions.parts[str(index)]
        if isinstance(attention, ImageTransformer):
            return attention(x, around)  # type: ignore[no-any-return]
        return attention(x, None, around.regime)  # type: ignore[no-any-return]


class DownBlock(_Level):
    """Residual blocks, each perhaps with attention, and a convolution of stride two."""

    def __init__(self, level: Level) -> None:
        self.attentions = _attentions(level, level.depth)
        self.resnets = Blocks(
            *(
                ResnetBlock(level, level.width if index else level.inputs, level.width)
                for index in range(level.depth)
            )
        )
        self.downsamplers = ModuleList(Downsample(level)) if level.resizes else None

    def forward(self, x: Tensor, around: Condition) -> tuple[Tensor, list[Tensor]]:
        """(B, C, H, W) to (B, out, H/2, W/2), and what the way up takes from here."""
        outputs = []
        for index in range(len(self.resnets.parts)):
            x = self.resnets.run(index, x, around.time)
            x = self._attend(index, x, around)
            outputs.append(x)
        if self.downsamplers is not None:
            x = self.downsamplers.parts["0"](x)
            outputs.append(x)
        return x, outputs


class MidBlock(_Level):
    """A residual block, and further ones behind attention."""

    def __init__(self, level: Level, *, has_attention: bool = True) -> None:
        self.attentions = _attentions(level, level.depth) if has_attention else None
        self.resnets = Blocks(*(ResnetBlock(level, level.width, level.width) for _ in range(level.depth + 1)))

    def forward(self, x: Tensor, around: Condition) -> Tensor:
        """(B, C, H, W) to (B, C, H, W); the first residual block is never checkpointed."""
        x = self.resnets.parts["0"](x, around.time)
        for index in range(1, len(self.resnets.parts)):
            x = self._attend(index - 1, x, around)
            x = self.resnets.run(index, x, around.time)
        return x


class UpBlock(_Level):
    """Residual blocks on what comes from below beside what the way down left, and an enlargement."""

    def __init__(self, level: Level, before: int) -> None:
        """`level.inputs` is the width of what the way down left; `before` that of what comes from below."""
        self.attentions = _attentions(level, level.depth)
        self.resnets = Blocks(
            *(
                ResnetBlock(
                    level,
                    (level.width if index else before)
                    + (level.inputs if index == level.depth - 1 else level.width),
                    level.width,
                )
                for index in range(level.depth)
            )
        )
        self.upsamplers = ModuleList(Upsample(level.width)) if level.resizes else None

    def forward(self, x: Tensor, passed: list[Tensor], size: Shape, around: Condition) -> Tensor:
        """(B, C, H, W) to (B, out, `size`), using up the last of `passed`."""
        for index in range(len(self.resnets.parts)):
            x = _beside(x, passed.pop())
            x = self.resnets.run(index, x, around.time)
            x = self._attend(index, x, around)
        if self.upsamplers is not None:
            x = self.upsamplers.parts["0"](x, *size)
        return x


def _beside(below: Tensor, passed: Tensor) -> Tensor:
    """Put the channels of two feature maps together; attention leaves channels last, and so they stay if both are."""
    out = concatenate([below, passed], 1)
    out.contiguous = below.contiguous or passed.contiguous
    return out


def per_level(value: object, levels: int) -> list[int]:
    """Return a config's number, or list of them, as one for each level."""
    return [int(one) for one in value] if isinstance(value, list | tuple) else [int(str(value))] * levels


def widths_of(config: Config) -> list[Dim]:
    """Return the width of each level."""
    return [Dim(width, f"C{index}") for index, width in enumerate(config.get("block_out_channels"))]
