"""What takes longer than the findings: what one more of something costs, and how much of it fits."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from vramlint.memory.largest import largest_that_fits, with_amount
from vramlint.rules.subject import fits

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from vramlint.knowledge.gpu import Gpu
    from vramlint.memory.largest import Amount
    from vramlint.plan.document import Plan
    from vramlint.rules.subject import Subject

STEP: dict[Amount, int] = {"micro_batch_size": 1, "sequence_length": 128}
"""How much more of an amount is priced: a sample, or tokens."""


@dataclass(frozen=True, slots=True)
class Room:
    """For one amount: what one step more costs at the allocated peak in bytes, and the largest that fits."""

    more: int | None
    largest: int | None


@dataclass(frozen=True, slots=True)
class Advice:
    """For one run: its amounts, and the smallest common GPU that it fits; None where there is none."""

    rooms: dict[Amount, Room]
    smallest: Gpu | None


class _StaleError(Exception):
    pass


def advise(runs: Sequence[Subject], is_stale: Callable[[], bool]) -> tuple[Advice, ...] | None:
    """Return the advice for each run; None as soon as nobody needs it any more."""

    def look() -> None:
        if is_stale():
            raise _StaleError

    try:
        return tuple(_advice(subject, look) for subject in runs)
    except _StaleError:
        return None


def _advice(subject: Subject, look: Callable[[], None]) -> Advice:
    if subject.estimate is None or not subject.plans:
        return Advice({}, None)
    plan = subject.plans[0]
    rooms = {name: _room(subject, plan, name, look) for name in STEP if getattr(plan, name) is not None}
    return Advice(rooms, _smallest(subject))


def _room(subject: Subject, plan: Plan, name: Amount, look: Callable[[], None]) -> Room:
    from vramlint.memory.engine import CannotEstimate, sketch  # noqa: PLC0415  loaded where something is trained

    look()
    assert subject.estimate is not None
    amount = getattr(plan, name) + STEP[name]
    try:
        more = sketch(with_amount(plan, name, amount), subject.gpu).peak - subject.estimate.allocated.expected
    except CannotEstimate:
        return Room(None, None)
    if subject.gpu is None:
        return Room(more, None)
    return Room(more, largest_that_fits(plan, name, subject.gpu, subject.reserve, look))


def _smallest(subject: Subject) -> Gpu | None:
    from vramlint.knowledge import gpus  # noqa: PLC0415  loaded where something is trained

    enough = (gpu for gpu in gpus.common() if fits(subject.estimate, gpu, subject.reserve) == "yes")
    return min(enough, key=lambda gpu: gpu.bytes, default=None)
