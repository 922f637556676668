"""What the engine answers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from vramlint.memory.ledger import Ledger, Phase


@dataclass(frozen=True, slots=True)
class Range:
    """Bytes: a low, an expected and a high figure."""

    low: int
    expected: int
    high: int


@dataclass(frozen=True, slots=True)
class PhasePeak:
    """Allocated bytes: the largest in the phase over all steps, and what is left after its last end."""

    peak: int
    end: int


@dataclass(frozen=True, slots=True)
class Moment:
    """One point of the timeline: `t` counts points, `bytes` are allocated, `label` says what the point is.

    `step` counts training steps from 1, and is 0 while loading.
    """

    t: int
    phase: Phase
    bytes: int
    label: str
    step: int = 0


@dataclass(frozen=True, slots=True)
class Estimate:
    """The memory of one plan on one GPU.

    `allocated` compares with `torch.cuda.max_memory_allocated`, `reserved` with
    `max_memory_reserved`, `device` with what `nvidia-smi` shows. `assumptions` are sentences a
    person reads: everything that was taken for granted and could be otherwise.
    """

    allocated: Range
    reserved: Range
    device: Range
    phase: Phase
    step: int
    phases: Mapping[Phase, PhasePeak]
    ledger: Ledger
    timeline: tuple[Moment, ...]
    assumptions: tuple[str, ...]
    parameters: int
    trainable_parameters: int
