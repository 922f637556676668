"""The largest batch or length that fits a GPU, found with the engine itself."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from vramlint.memory.engine import CannotEstimate, sketch

if TYPE_CHECKING:
    from collections.abc import Callable

    from vramlint.knowledge.gpu import Gpu
    from vramlint.plan.document import Plan

Amount = Literal["micro_batch_size", "sequence_length"]

MOST = 2**20
"""Nobody asks for more samples or tokens than this."""

GRAIN: dict[Amount, int] = {"micro_batch_size": 1, "sequence_length": 64}
"""The steps in which an amount is told."""


def with_amount(plan: Plan, name: Amount, value: int) -> Plan:
    """Return the plan with another batch or length."""
    return plan.model_copy(update={name: value})


def largest_that_fits(
    plan: Plan, name: Amount, gpu: Gpu, reserve: int = 0, look: Callable[[], None] = lambda: None
) -> int | None:
    """Return the largest value whose device memory fits at its high end; 0 where none does.

    Lengths are told in steps of `GRAIN`. More of an amount never needs less memory, so the search brackets the
    answer and closes in on it. `look` is called before each estimate and may raise to stop. None where the engine
    cannot say, or nothing bounds it below `MOST`.
    """
    room, grain = gpu.bytes - reserve, GRAIN[name]

    def need(steps: int) -> int:
        look()
        return sketch(with_amount(plan, name, steps * grain), gpu).device.high

    try:
        found = _search(need, room, max((getattr(plan, name) or 1) // grain, 1), MOST // grain)
    except CannotEstimate:
        return None
    return None if found is None else found * grain


def _search(need: Callable[[int], int], room: int, start: int, most: int) -> int | None:
    """Return the largest number that needs at most `room`: 0 if even 1 needs more, None if `most` does not."""
    low, high = (0, 0), (start, need(start))
    while high[1] <= room:
        if high[0] >= most:
            return None
        value = min(2 * high[0], most)
        low, high = high, (value, need(value))
    halve = False
    while high[0] - low[0] > 1:
        value = (low[0] + high[0]) // 2 if halve or not low[0] else _between(low, high, room)
        point = (value, need(value))
        low, high = (point, high) if point[1] <= room else (low, point)
        halve = not halve
    return low[0]


def _between(low: tuple[int, int], high: tuple[int, int], room: int) -> int:
    """Return where a straight line through two points crosses `room`: memory is nearly linear in both amounts."""
    part = (room - low[1]) / max(high[1] - low[1], 1)
    return min(max(low[0] + int(part * (high[0] - low[0])), low[0] + 1), high[0] - 1)
