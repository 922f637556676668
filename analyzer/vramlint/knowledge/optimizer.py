"""What an optimizer keeps, and what its step allocates for a moment."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal

Implementation = Literal["foreach", "for-loop", "fused"]


@dataclass(frozen=True, slots=True)
class Parameter:
    """The shape of one parameter tensor, its bits per element, and whether an embedding owns it."""

    shape: tuple[int, ...]
    bits: int
    is_embedding: bool = False


@dataclass(frozen=True, slots=True)
class Variant:
    """The constructor arguments that change what an optimizer keeps; None means its default."""

    momentum: float = 0.0
    nesterov: bool = False
    centered: bool = False
    amsgrad: bool = False
    weight_decay: float | None = None
    rank: int | None = None


@dataclass(frozen=True, slots=True)
class State:
    """One state tensor of one parameter. `paged` memory is unified memory: outside torch's counters."""

    name: str
    shape: tuple[int, ...]
    bits: int
    where: Literal["gpu", "cpu", "paged"] = "gpu"


@dataclass(frozen=True, slots=True)
class Temporary:
    """What the step allocates for a moment: `copies` of one parameter group, or of its largest tensor.

    `bits` per element; None means those of the parameter.
    """

    copies: float
    of: Literal["group", "largest"]
    bits: int | None = None


@dataclass(frozen=True, slots=True)
class Optimizer:
    """An optimizer class.

    `names` are dotted paths, the canonical one first; `states` gives the state tensors of one
    parameter; `temporaries` gives the step's temporaries by implementation, and its keys say which
    implementations exist; `default` is the implementation that CUDA takes when the script does not
    say. `grows` is set where states keep growing after the first steps.
    """

    names: tuple[str, ...]
    states: Callable[[Parameter, Variant], tuple[State, ...]]
    temporaries: Callable[[Variant], Mapping[Implementation, Temporary]]
    default: Implementation
    citation: str
    states_in_constructor: bool = False
    keeps_gradients: bool = True
    grows: str | None = None
