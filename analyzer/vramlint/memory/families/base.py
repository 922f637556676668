"""What a model family's file offers, and what its forward pass is given."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from vramlint.memory.dtypes import FLOAT32, INT64, DType
from vramlint.memory.modules import Module
from vramlint.memory.tape import Dim, Tensor

if TYPE_CHECKING:
    from collections.abc import Mapping

    from vramlint.memory.objectives import Objective
    from vramlint.memory.operators.attention import Kernel


class UnsupportedTask(Exception):  # noqa: N818  it is an answer, not an error
    """The family has no head for this task."""


@dataclass(frozen=True, slots=True)
class Config:
    """The content of a config.json; sizes come out as named dimensions."""

    values: Mapping[str, Any]

    def get(self, name: str, default: Any = None) -> Any:
        """Return a value, or the default where it is absent or null."""
        value = self.values.get(name)
        return default if value is None else value

    def completed(self, defaults: Mapping[str, Any]) -> Config:
        """Return the config with its class's defaults where it is silent."""
        given = {name: value for name, value in self.values.items() if value is not None}
        return Config({**defaults, **given})

    def size(self, symbol: str, *names: str, default: int | None = None) -> Dim:
        """Return the first of these sizes that is there; raises KeyError if none is and there is no default."""
        for name in names:
            value = self.values.get(name)
            if value is not None:
                return Dim(value, symbol)
        if default is None:
            raise KeyError(names[0])
        return Dim(default, symbol)


# How a language model's loss takes the logits: in their own type, as a loop of one's own has it; in fp32; in fp32
# and then copied without the last row of each sequence; so copied from what the model itself made fp32; or so
# copied in their own type.
Logits = Literal["own", "upcast", "upcast-copied", "copied", "own-copied"]


@dataclass(frozen=True, slots=True)
class Regime:
    """How the model is run: attention implementation, padding mask, cache, kind of loss.

    `generates`: only the last token's logits are wanted, and no loss. `kernel`: SDPA's, None for CUDA's choice.
    `logits` says how the loss of a language model takes them. `objective` is a trainer's own loss, on the logits of
    the last `kept` tokens where it keeps no others.
    """

    attention: str = "sdpa"
    padding_mask: bool = False
    use_cache: bool = True
    loss: str = "default"
    generates: bool = False
    kernel: Kernel | None = None
    logits: Logits = "upcast"
    objective: Objective | None = None
    kept: int | None = None


@dataclass(frozen=True, slots=True)
class Sizes:
    """How large a micro batch is: rows, tokens, target tokens, pixels (height, width), and the type of real inputs.

    `encoded` is the type of what frozen models hand to the trained one, where it is another.
    """

    rows: int
    length: int
    target_length: int | None = None
    image: tuple[int, int] = (224, 224)
    dtype: DType = FLOAT32
    encoded: DType | None = None


@dataclass(frozen=True, slots=True)
class InputSpec:
    """One tensor of the batch: its shape and type, and the names the model takes it under."""

    names: tuple[str, ...]
    shape: tuple[int, ...]
    dtype: DType = INT64


@dataclass(slots=True)
class Batch:
    """The tensors of one micro batch by the names the model takes them under."""

    tensors: Mapping[str, Tensor]

    def __getitem__(self, name: str) -> Tensor:
        """Return a tensor of the batch."""
        return self.tensors[name]

    def get(self, name: str) -> Tensor | None:
        """Return a tensor of the batch, or None."""
        return self.tensors.get(name)


@dataclass(slots=True)
class Output:
    """What a forward pass returns; all of it stays alive while the script holds it."""

    loss: Tensor | None
    logits: Tensor | None = None
    held: list[Tensor] = field(default_factory=list)


class Model(Module):
    """A whole model: takes a batch, returns the loss and what comes with it.

    `approximation` says what of the model is only a guess, where something is.
    """

    approximation: str | None = None

    def inputs(self, sizes: Sizes) -> tuple[InputSpec, ...]:
        """Return what a micro batch holds; by default token ids of shape (B, T) that are their own labels."""
        return (InputSpec(("input_ids", "labels"), (Dim(sizes.rows, "B"), Dim(sizes.length, "T"))),)

    def forward(self, batch: Batch, regime: Regime) -> Output:
        """Compute the loss."""
        raise NotImplementedError

    def __call__(self, batch: Batch, regime: Regime) -> Output:
        """Compute the loss."""
        return self.forward(batch, regime)
