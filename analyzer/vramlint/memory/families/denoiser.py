"""What denoising networks share: the embedding of time, attention and MLP of diffusers, and the training step.

Source: diffusers 0.42, models/{embeddings,attention,attention_processor,activations}.py; the step is that of its
`examples/*/train_*.py`.
"""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING

from vramlint.memory.convolutional import ModuleList, Sequential
from vramlint.memory.dtypes import FLOAT32, INT64, DType
from vramlint.memory.families.base import Batch, InputSpec, Model, Output, Regime, Sizes, UnsupportedTask
from vramlint.memory.families.layers import attend, split_heads
from vramlint.memory.modules import Dropout, Linear, Module
from vramlint.memory.operators.activations import silu
from vramlint.memory.operators.elementwise import cast, reshape, split, unary
from vramlint.memory.operators.regression import mean_squared
from vramlint.memory.tape import Dim, Shape

if TYPE_CHECKING:
    from collections.abc import Callable

    from vramlint.memory.tape import Tensor

# An autoencoder's place stands for 8 × 8 pixels (four levels, three of which halve the sides).
PIXELS_OF_A_PLACE = 8
CLIP_TOKENS = 77  # CLIP's tokenizer pads every prompt to its longest
_TASKS = frozenset({"diffusion", "text-to-image", "causal-lm"})


def require_denoising(task: str) -> None:
    """Check that the task is to predict noise; `causal-lm` is what a task nobody named falls back to.

    Raises:
        UnsupportedTask: for another task.
    """
    if task not in _TASKS:
        raise UnsupportedTask(task)


@dataclass(slots=True)
class Condition:
    """What every block of a network is given beside its input: the embedded time, encoded text, and how to attend."""

    regime: Regime
    time: Tensor | None
    text: Tensor | None = None


class TimestepEmbedding(Module):
    """Two linear layers with an activation between them."""

    label = "time embedding"

    def __init__(self, inputs: int, width: int) -> None:
        self.linear_1 = Linear(inputs, width)
        self.linear_2 = Linear(width, width)

    def forward(self, x: Tensor) -> Tensor:
        """(B, in) to (B, D)."""
        x = self.linear_1(x)
        x = silu(x)
        return self.linear_2(x)  # type: ignore[no-any-return]


def sinusoidal(rows: int, width: int, like: Tensor, dtype: DType) -> Tensor:
    """Return sines and cosines of the timesteps (rows, width) in this type (`get_timestep_embedding`)."""
    tape = like.tape
    with tape.no_grad():
        return cast(tape.empty((rows, width), FLOAT32), dtype)


class Attention(Module):
    """Self-attention, or attention to the encoded text."""

    label = "attention"

    def __init__(self, width: int, source: int | None, heads: int, head: int, *, bias: bool = False) -> None:
        inner = heads * head
        self.heads, self.head = heads, Dim(head, "H")
        self.to_q = Linear(width, inner, bias=bias)
        self.to_k = Linear(source or width, inner, bias=bias)
        self.to_v = Linear(source or width, inner, bias=bias)
        self.to_out = ModuleList(Linear(inner, width), Dropout(0.0))

    def forward(self, x: Tensor, source: Tensor | None, regime: Regime) -> Tensor:
        """(B, T, D) to (B, T, D)."""
        query = self.to_q(x)
        source = x if source is None else source
        key = self.to_k(source)
        value = self.to_v(source)
        query, key, value = (split_heads(part, self.heads, self.head) for part in (query, key, value))
        x = attend(query, key, value, None, regime, causal=False, upcast=False)
        x = reshape(x, x.shape[0], x.shape[1], self.heads * self.head)
        x = self.to_out.parts["0"](x)
        return x * 1.0


class Gated(Module):
    """GEGLU: one projection whose halves are multiplied, one of them through GELU."""

    def __init__(self, width: int, inner: int) -> None:
        self.proj = Linear(width, inner * 2)

    def forward(self, x: Tensor) -> Tensor:
        """(B, T, D) to (B, T, F)."""
        x = self.proj(x)
        x, gate = split(x, [x.shape[-1] // 2] * 2)
        return x * unary(gate)


class Ungated(Module):
    """A projection and GELU."""

    def __init__(self, width: int, inner: int) -> None:
        self.proj = Linear(width, inner)

    def forward(self, x: Tensor) -> Tensor:
        """(B, T, D) to (B, T, F)."""
        x = self.proj(x)
        return unary(x)


_PROJECTIONS: dict[str, Callable[[int, int], Module]] = {
    "geglu": Gated,
    "gelu": Ungated,
    "gelu-approximate": Ungated,
}


class FeedForward(Module):
    """An MLP of four times the width."""

    label = "mlp"

    def __init__(self, width: int, kind: str = "geglu", outputs: int | None = None) -> None:
        inner = Dim(4 * width, "F")
        self.net = Sequential(_PROJECTIONS[kind](width, inner), Dropout(0.0), Linear(inner, outputs or width))

    def forward(self, x: Tensor) -> Tensor:
        """(B, T, D) to (B, T, D)."""
        return self.net(x)  # type: ignore[no-any-return]


class Denoiser(Model):
    """A network that predicts the noise in latents.

    Latents and encoded texts are inputs; what encodes them stands beside it, as `extra_models` say.
    """

    @abstractmethod
    def latents(self, sizes: Sizes) -> Shape:
        """Return the shape of the noisy latents."""

    def conditions(self, sizes: Sizes) -> dict[str, Shape]:  # noqa: ARG002  most have some
        """Return the shapes of what else it is given, by name."""
        return {}

    @abstractmethod
    def predict(self, noisy: Tensor, batch: Batch, regime: Regime) -> Tensor:
        """Return the predicted noise."""

    def inputs(self, sizes: Sizes) -> tuple[InputSpec, ...]:
        """Return latents and what conditions them, in the type that the frozen parts work in."""
        shape, dtype = self.latents(sizes), sizes.encoded or sizes.dtype
        given = {"latents": shape, "noise": shape, "noisy": shape, **self.conditions(sizes)}
        real = (InputSpec((name,), shape, dtype) for name, shape in given.items())
        return (*real, InputSpec(("timesteps",), (Dim(sizes.rows, "B"),), INT64))

    def forward(self, batch: Batch, regime: Regime) -> Output:
        """Return the squared error of the prediction, in fp32."""
        prediction = cast(self.predict(batch["noisy"], batch, regime), FLOAT32)
        prediction.tape.arena.label = "loss"
        target = cast(batch["noise"], FLOAT32)
        return Output(mean_squared(prediction, target), None, [prediction])


def places(sizes: Sizes) -> tuple[Dim, Dim]:
    """Return height and width of the latents of an image."""
    height, width = sizes.image
    return Dim(height // PIXELS_OF_A_PLACE, "H"), Dim(width // PIXELS_OF_A_PLACE, "W")
