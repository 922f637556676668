"""Pixtral's image tower: all images in one row of patches, which turn as they lie (models/pixtral)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vramlint.memory.convolutional import Conv2d
from vramlint.memory.dtypes import FLOAT32
from vramlint.memory.families.layers import attend, rotate, split_heads
from vramlint.memory.families.vision_transformer import patch_size
from vramlint.memory.modules import Buffer, Linear, Module, RMSNorm, Stack
from vramlint.memory.operators.activations import activation
from vramlint.memory.operators.elementwise import cast, concatenate, expand, reshape, unstack
from vramlint.memory.tape import Dim, Tensor

if TYPE_CHECKING:
    from vramlint.memory.families.base import Config, Regime

VISION = {
    "hidden_size": 1024,
    "intermediate_size": 4096,
    "num_hidden_layers": 24,
    "num_attention_heads": 16,
    "image_size": 1024,
    "patch_size": 16,
    "hidden_act": "gelu",
}

Positions = tuple[Tensor, Tensor]


class Attention(Module):
    """Attention of all patches, masked to those of the same image."""

    label = "attention"

    def __init__(self, config: Config) -> None:
        width = config.size("C", "hidden_size")
        self.heads, self.p = config.size("N", "num_attention_heads"), config.get("attention_dropout", 0.0)
        self.k_proj = Linear(width, width, bias=False)
        self.v_proj = Linear(width, width, bias=False)
        self.q_proj = Linear(width, width, bias=False)
        self.o_proj = Linear(width, width, bias=False)

    def forward(self, x: Tensor, mask: Tensor | None, positions: Positions, regime: Regime) -> Tensor:
        """(1, n, C) to (1, n, C)."""
        size = Dim(x.shape[-1] // self.heads, "H")
        query, key, value = self.q_proj(x), self.k_proj(x), self.v_proj(x)
        query = split_heads(query, self.heads, size)
        key = split_heads(key, self.heads, size)
        value = split_heads(value, self.heads, size)
        query, key = rotate(query, *positions), rotate(key, *positions)
        out = attend(query, key, value, mask, regime, p=self.p, causal=False)
        return self.o_proj(reshape(out, *x.shape))  # type: ignore[no-any-return]


class MLP(Module):
    """`down(act(gate(x)) * up(x))`."""

    label = "mlp"

    def __init__(self, config: Config) -> None:
        width, inner = config.size("C", "hidden_size"), config.size("F", "intermediate_size")
        self.gate_proj = Linear(width, inner, bias=False)
        self.up_proj = Linear(width, inner, bias=False)
        self.down_proj = Linear(inner, width, bias=False)
        self.act = activation(config.get("hidden_act"))

    def forward(self, x: Tensor) -> Tensor:
        """(1, n, C) to (1, n, C)."""
        return self.down_proj(self.act(self.gate_proj(x)) * self.up_proj(x))  # type: ignore[no-any-return]


class Layer(Module):
    """Pre-norm attention and MLP, each with a residual."""

    label = "residual stream"

    def __init__(self, config: Config) -> None:
        width = config.size("C", "hidden_size")
        self.attention_norm = RMSNorm(width)
        self.feed_forward = MLP(config)
        self.attention = Attention(config)
        self.ffn_norm = RMSNorm(width)

    def forward(self, hidden: Tensor, mask: Tensor | None, positions: Positions, regime: Regime) -> Tensor:
        """(1, n, C) to (1, n, C)."""
        residual = hidden
        hidden = self.attention_norm(hidden)
        hidden = self.attention(hidden, mask, positions, regime)
        hidden = residual + hidden
        residual = hidden
        hidden = self.ffn_norm(hidden)
        hidden = self.feed_forward(hidden)
        return residual + hidden


class Layers(Module):
    """A module that holds the stack under the name `layers`."""

    def __init__(self, config: Config) -> None:
        self.layers = Stack(config.size("L", "num_hidden_layers"), lambda _: Layer(config))


class Rotary(Module):
    """Two small buffers, and cosines and sines for the row and column of each patch."""

    def __init__(self, size: int) -> None:
        self.size = size
        self.inv_freq = Buffer(size // 2)
        self.original_inv_freq = Buffer(size // 2)

    def forward(self, x: Tensor) -> Positions:
        """Return cosine and sine of shape (1, n, H) in the type of x."""
        shape = (1, x.shape[1], self.size)
        with x.tape.no_grad():
            cosine = cast(x.tape.empty(shape, FLOAT32), x.dtype)
            sine = cast(x.tape.empty(shape, FLOAT32), x.dtype)
        return cosine, sine


class ImageTower(Module):
    """Patches of all images in one row, a norm, and layers."""

    def __init__(self, config: Config) -> None:
        width = config.size("C", "hidden_size")
        self.side = patch_size(config)
        self.patch_conv = Conv2d(config.get("num_channels", 3), width, self.side, self.side, 0, bias=False)
        self.ln_pre = RMSNorm(width)
        self.transformer = Layers(config)
        self.patch_positional_embedding = Rotary(width // config.size("N", "num_attention_heads"))

    def forward(self, pixels: Tensor, regime: Regime) -> Tensor:
        """(B, 3, H, W) to (1, n, C)."""
        embeds = self.patch_conv(pixels)
        rows, width, height, across = embeds.shape
        each = [
            part.view(width, Dim(height * across, "P")).transposed(0, 1) for part in unstack(embeds, rows)
        ]
        row = concatenate(each, 0)
        row = self.ln_pre(row.view(1, Dim(row.shape[0], "patches"), width))
        positions = self.patch_positional_embedding(row)
        mask = None
        if regime.attention in {"sdpa", "eager"}:
            count = row.shape[1]
            mask = expand(row.tape.empty((count, count), row.dtype), 1, 1, count, count)
        hidden = self.transformer.layers(row, mask, positions, regime)
        del each
        return hidden  # type: ignore[no-any-return]
