"""What an optimizer keeps, and what its step allocates for a moment."""

from __future__ import annotations

from dataclasses import dataclass
from math import prod
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

# "old foreach" is that of torch before 2.1, where it differs: the Adams held a second copy (pytorch #97712).
Implementation = Literal["foreach", "old foreach", "for-loop", "fused"]


@dataclass(frozen=True, slots=True)
class Parameter:
    """The shape of one parameter tensor, its bits per element, and whether an embedding owns it."""

    shape: tuple[int, ...]
    bits: int
    is_embedding: bool = False

    @property
    def elements(self) -> int:
        """Return the number of elements."""
        return prod(self.shape)

    @property
    def bytes(self) -> int:
        """Return the bytes of the tensor."""
        return self.elements * self.bits // 8


@dataclass(frozen=True, slots=True)
class Variant:
    """The constructor arguments that change what an optimizer keeps; None means its default.

    `rank` is that of a low-rank projection and belongs to the projected parameters only: give the
    others a variant without it. `embeddings_in_32_bit` is what the Hugging Face Trainer registers
    for bitsandbytes' 8-bit optimizers.
    """

    momentum: float = 0.0
    nesterov: bool = False
    centered: bool = False
    amsgrad: bool = False
    weight_decay: float | None = None
    rank: int | None = None
    fused: bool = False
    capturable: bool = False
    beta1: float | None = None
    history_size: int | None = None
    optim_bits: int | None = None
    paged: bool = False
    master_weights: bool = False
    kahan_sum: bool | None = None
    embeddings_in_32_bit: bool = False


@dataclass(frozen=True, slots=True)
class State:
    """One state tensor of one parameter. `paged` memory is unified memory: outside torch's counters."""

    name: str
    shape: tuple[int, ...]
    bits: int
    where: Literal["gpu", "cpu", "paged"] = "gpu"

    @property
    def bytes(self) -> int:
        """Return the bytes of the tensor; two 4-bit elements share a byte."""
        return -(-prod(self.shape) * self.bits // 8)


@dataclass(frozen=True, slots=True)
class Temporary:
    """What the step allocates for a moment, as copies of parameters.

    `group`: copies of the whole parameter group. `tensor`: copies of the tensor whose turn it is.
    `previous`: copies of the tensor before it, which a Python loop still holds by name when the next
    turn begins. `bits` per element of a copy; None means those of the parameter. `besides` gives
    bytes on top for the tensor whose turn it is, where they are no multiple of its size.
    """

    group: float = 0.0
    tensor: float = 0.0
    previous: float = 0.0
    bits: int | None = None
    besides: Callable[[Parameter], int] | None = None

    def bytes(self, group: Sequence[Parameter]) -> int:
        """Return the most bytes alive at once while one group is stepped, its tensors in order.

        No allocator rounding. A step handles one group after the other, so the step's figure is the
        largest over the groups.
        """
        return sum(self.whole(parameter) for parameter in group) + self.turn(group)

    def whole(self, parameter: Parameter) -> int:
        """Return the bytes that one tensor of the group adds to the group's temporaries."""
        return self._copies(self.group, parameter)

    def turn(self, group: Sequence[Parameter]) -> int:
        """Return the most bytes that exist only while one tensor has its turn."""
        turns = [self._in_turn(*pair) for pair in zip([None, *group], group, strict=False)]
        return max(turns, default=0)

    def _in_turn(self, previous: Parameter | None, current: Parameter) -> int:
        held = self._copies(self.previous, previous) if previous else 0
        besides = self.besides(current) if self.besides else 0
        return held + self._copies(self.tensor, current) + besides

    def _copies(self, copies: float, parameter: Parameter) -> int:
        return round(copies * parameter.elements * (self.bits or parameter.bits) / 8)


@dataclass(frozen=True, slots=True)
class Optimizer:
    """An optimizer class.

    `names` are dotted paths, the canonical one first; `states` gives the state tensors of one
    parameter; `temporaries` gives the step's temporaries by implementation, and its keys say which
    implementations exist; `default` is the implementation that CUDA takes when the script does not
    say. A step that makes its states tensor by tensor while it updates (`states_between_updates`)
    has a lighter first step than one that makes all of them first. `keeps_gradients` is False where
    a gradient is used up inside backward; with `steps_late` only when the next one has come. `grows` says
    how states keep growing after the first steps.
    """

    names: tuple[str, ...]
    states: Callable[[Parameter, Variant], tuple[State, ...]]
    temporaries: Callable[[Variant], Mapping[Implementation, Temporary]]
    default: Implementation
    citation: str
    states_in_constructor: bool = False
    states_between_updates: bool = False
    keeps_gradients: bool = True
    steps_late: bool = False
    grows: str | None = None
