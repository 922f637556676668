"""What transformers of image and text tokens side by side share (Flux, Stable Diffusion 3).

Source: diffusers 0.42, models/{normalization,embeddings}.py, models/transformers/transformer_{flux,sd3}.py.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from vramlint.memory.convolutional import ModuleList
from vramlint.memory.families.denoiser import TimestepEmbedding, sinusoidal
from vramlint.memory.modules import BareLayerNorm, Dropout, Linear, Module, parameter_tensor
from vramlint.memory.operators.activations import silu
from vramlint.memory.operators.elementwise import cast, narrow, split

if TYPE_CHECKING:
    from vramlint.memory.tape import Tensor

TIMES = 256  # sines and cosines of a timestep


class TextProjection(Module):
    """`PixArtAlphaTextProjection`: two linear layers with SiLU between them."""

    label = "text embedding"

    def __init__(self, inputs: int, width: int) -> None:
        self.linear_1 = Linear(inputs, width)
        self.linear_2 = Linear(width, width)

    def forward(self, x: Tensor) -> Tensor:
        """(B, in) to (B, D)."""
        x = self.linear_1(x)
        x = silu(x)
        return self.linear_2(x)  # type: ignore[no-any-return]


class TimeTextEmbedding(Module):
    """The sum of embedded time, perhaps guidance, and pooled text."""

    label = "time embedding"

    def __init__(self, width: int, pooled: int, *, guided: bool) -> None:
        self.timestep_embedder = TimestepEmbedding(TIMES, width)
        self.guidance_embedder = TimestepEmbedding(TIMES, width) if guided else None
        self.text_embedder = TextProjection(pooled, width)

    def forward(self, pooled: Tensor) -> Tensor:
        """(B, P) to (B, D)."""
        rows = pooled.shape[0]
        time = self.timestep_embedder(sinusoidal(rows, TIMES, pooled, pooled.dtype))
        if self.guidance_embedder is not None:
            time = time + self.guidance_embedder(sinusoidal(rows, TIMES, pooled, pooled.dtype))
        return time + self.text_embedder(pooled)  # type: ignore[no-any-return]


def modulated(x: Tensor, scale: Tensor, shift: Tensor) -> Tensor:
    """`x * (1 + scale[:, None]) + shift[:, None]`."""
    return x * (_row(scale) + 1.0) + _row(shift)


def gated(gate: Tensor, x: Tensor) -> Tensor:
    """`gate.unsqueeze(1) * x`."""
    return _row(gate) * x


def _row(x: Tensor) -> Tensor:
    """(B, D) to (B, 1, D), a view."""
    return x.view(x.shape[0], 1, x.shape[1])


class AdaptiveNorm(Module):
    """`AdaLayerNormZero` and its kin: a norm whose scale and shift come from the time, with gates for later."""

    label = "norm"

    def __init__(self, width: int, parts: int) -> None:
        self.width, self.parts = width, parts
        self.linear = Linear(width, parts * width)
        self.norm = BareLayerNorm()

    def forward(self, x: Tensor, time: Tensor) -> tuple[Tensor, list[Tensor]]:
        """Return the modulated norm of (B, T, D), and what the time says beyond its shift and scale."""
        time = silu(time)
        time = self.linear(time)
        shift, scale, *rest = split(time, [self.width] * self.parts, 1)
        return modulated(self.norm(x), scale, shift), rest


class DualNorm(AdaptiveNorm):
    """`SD35AdaLayerNormZeroX`: one norm, modulated twice."""

    def __init__(self, width: int) -> None:
        super().__init__(width, 9)

    def forward(self, x: Tensor, time: Tensor) -> tuple[Tensor, list[Tensor]]:
        """Return the first modulated norm; the rest ends with the second one and its gate."""
        time = silu(time)
        time = self.linear(time)
        shift, scale, gate, shift_mlp, scale_mlp, gate_mlp, shift_2, scale_2, gate_2 = split(
            time, [self.width] * self.parts, 1
        )
        normed = self.norm(x)
        first = modulated(normed, scale, shift)
        second = modulated(normed, scale_2, shift_2)
        return first, [gate, shift_mlp, scale_mlp, gate_mlp, second, gate_2]


class LastNorm(AdaptiveNorm):
    """`AdaLayerNormContinuous`: scale and shift alone, in the type of x."""

    def __init__(self, width: int) -> None:
        super().__init__(width, 2)

    def forward(self, x: Tensor, time: Tensor) -> Tensor:  # type: ignore[override]
        """(B, T, D) to (B, T, D)."""
        time = cast(silu(time), x.dtype)
        time = self.linear(time)
        scale, shift = split(time, [self.width] * 2, 1)
        return modulated(self.norm(x), scale, shift)


class JointProjections(Module):
    """The projections of an attention over image tokens, and over text tokens beside them."""

    label = "attention"

    def __init__(self, width: int, heads: int, head: int, *, text: bool, text_out: bool, out: bool) -> None:
        inner = heads * head
        self.heads, self.head = heads, head
        self.to_q, self.to_k, self.to_v = (Linear(width, inner) for _ in range(3))
        if out:
            self.to_out = ModuleList(Linear(inner, width), Dropout(0.0))
        if text:
            self.add_q_proj, self.add_k_proj, self.add_v_proj = (Linear(width, inner) for _ in range(3))
        if text_out:
            self.to_add_out = Linear(inner, width)

    def leave(self, x: Tensor) -> Tensor:
        """Project image tokens out."""
        return self.to_out.parts["0"](x)  # type: ignore[no-any-return]


def some_tokens(x: Tensor, count: int) -> Tensor:
    """`x[:, a:b]` of (B, T, D): a view, which is contiguous for a single row."""
    part = narrow(x, 1, count)
    part.contiguous = x.shape[0] == 1
    return part


def weight_type(module: Linear) -> Tensor:
    """Return the tensor of a linear layer's weight."""
    return parameter_tensor(module.weight)
