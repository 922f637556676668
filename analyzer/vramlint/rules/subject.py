"""What a rule looks at: one run, its estimate and the GPU it should fit."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from vramlint.knowledge.gpu import Gpu
from vramlint.memory.estimate import Estimate
from vramlint.plan.run import Run

Fits = Literal["yes", "no", "maybe", "unknown"]


@dataclass(frozen=True, slots=True)
class Subject:
    """A run with its figures; `estimate` is None where the memory cannot be said, and `why_not` says why."""

    run: Run
    estimate: Estimate | None
    why_not: str | None
    gpu: Gpu | None
    fits: Fits
