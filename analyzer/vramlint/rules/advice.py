"""Ways to need less memory: each fix is a changed plan, and what it saves is what the engine says."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from vramlint.fixes.catalogue import fixes
from vramlint.rules.finding import Fix

if TYPE_CHECKING:
    from collections.abc import Sequence

    from vramlint.fixes.catalogue import FixModule
    from vramlint.memory.engine import Sketch
    from vramlint.memory.estimate import Estimate
    from vramlint.plan.document import Plan
    from vramlint.rules.subject import Subject

_WORTH_SAYING = 0.02
"""The least part of the peak that a change must save to be offered."""

WAYS_OUT = (
    "eight-bit-optimizer",
    "full-sharding",
    "gradient-checkpointing",
    "half-precision-reference",
    "half-precision-weights",
    "lora",
    "precomputed-reference",
    "qlora",
    "sdpa-attention",
    "split-batch",
)
"""The fixes that usually save most: a finding tries these, as each costs a walk. An editor asks for all."""

SMALLER_STATES = ("eight-bit-optimizer", "adafactor", "fused-optimizer")
"""The fixes that speak of the optimizer alone."""


@dataclass(frozen=True, slots=True)
class WhatIf:
    """A fix, and the figures of the plan after it."""

    fix: FixModule
    after: Sketch


def offers(subject: Subject, names: Sequence[str] = WAYS_OUT, most: int = 4) -> tuple[Fix, ...]:
    """Return the fixes that help this run as advice, what saves most first."""
    if subject.estimate is None or not subject.plans:
        return ()
    before = subject.estimate.allocated.expected
    tried = [what_if(subject, fixes()[name]) for name in names]
    helpful = [
        what for what in tried if what is not None and before - what.after.peak >= _WORTH_SAYING * before
    ]
    best = sorted(helpful, key=lambda what: what.after.peak)[:most]
    return tuple(_advice(subject, what, before - what.after.peak) for what in best)


def _advice(subject: Subject, what: WhatIf, saving: int) -> Fix:
    enough = _is_enough(subject, what)
    title = what.fix.title(subject.plans[0])
    return Fix(title + (", then it fits" if enough else ""), saving, "display", name=what.fix.NAME)


def _is_enough(subject: Subject, what: WhatIf) -> bool:
    if subject.gpu is None:
        return False
    room = subject.gpu.bytes - subject.reserve
    return what.after.peak <= room and what.after.device.high <= room


def what_if(subject: Subject, fix: FixModule) -> WhatIf | None:
    """Return what the engine says of the likeliest plan after a fix; None where there is no answer."""
    from vramlint.memory.engine import CannotEstimate, sketch  # noqa: PLC0415  only runs that do not fit ask

    changed = fix.change(subject.plans[0])
    if changed is None or changed == subject.plans[0]:
        return None
    try:
        return WhatIf(fix, sketch(changed, subject.gpu))
    except CannotEstimate:
        return None


def estimate_of(plan: Plan, subject: Subject) -> Estimate | None:
    """Return the engine's estimate of another plan on the subject's GPU; None where it cannot say."""
    from vramlint.memory.engine import CannotEstimate, estimate  # noqa: PLC0415  only runs that do not fit ask

    try:
        return estimate(plan, subject.gpu)
    except CannotEstimate:
        return None
