"""What a rule looks at: one run, its estimate and the GPU it should fit."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from collections.abc import Mapping

    from vramlint.knowledge.gpu import Gpu
    from vramlint.memory.estimate import Estimate
    from vramlint.plan.document import Plan
    from vramlint.plan.run import Run

Fits = Literal["yes", "no", "maybe", "unknown"]


@dataclass(frozen=True, slots=True)
class Subject:
    """A run with its figures; `estimate` is None where the memory cannot be said, and `why_not` says why.

    `plans` are the concrete alternatives of the run, the expected one first; `deciding` names for each
    further one, by its index, the settings in which it differs. `reserve` is the part of
    the GPU to keep free and `budget` the largest allocated peak that is wanted, both in bytes.
    """

    run: Run
    estimate: Estimate | None
    why_not: str | None
    gpu: Gpu | None
    fits: Fits
    plans: tuple[Plan, ...] = ()
    deciding: Mapping[int, tuple[str, ...]] = field(default_factory=dict)
    reserve: int = 0
    budget: int | None = None


def fits(estimate: Estimate | None, gpu: Gpu | None, reserve: int) -> Fits:
    """Say whether it fits: "no" only where even the low end of the device memory exceeds the GPU."""
    if estimate is None or gpu is None:
        return "unknown"
    room = gpu.bytes - reserve
    if estimate.device.low > room:
        return "no"
    return "maybe" if estimate.device.high > room else "yes"
