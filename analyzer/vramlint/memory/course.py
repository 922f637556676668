"""How the memory runs through the first training steps, part by part: what a chart draws.

The walk's log is replayed with all copies of its repeated layers, and thinned: of each stretch of events the moment
with the most bytes stays, so that no peak is lost.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

from vramlint.memory.runtime import runtime_on
from vramlint.memory.terms import group_of
from vramlint.memory.walk import walk

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from vramlint.knowledge.gpu import Gpu
    from vramlint.memory.arena import Arena, Key
    from vramlint.memory.ledger import Group, Phase
    from vramlint.plan.document import Plan

_POINTS = 80  # of one phase of one step


@dataclass(frozen=True, slots=True)
class Point:
    """Allocated bytes of each part at one moment of a phase; `step` counts from 1 and is 0 while loading."""

    phase: Phase
    step: int
    bytes: Mapping[Group, int]


def course(plan: Plan, gpu: Gpu | None) -> tuple[Point, ...]:
    """Return the course of a complete plan's memory, in the order of time.

    Raises:
        CannotEstimate: as `estimate` does.
    """
    return tuple(_points(walk(plan, runtime_on(gpu)).arena))


def _points(arena: Arena) -> Iterator[Point]:
    alive: Counter[Group] = Counter()
    blocks: Counter[int] = Counter()  # of each storage until the echo, by the identity of its key
    for stretch in arena.stretches():
        events = stretch.events
        if stretch.is_echo:
            events = [event for event in events if not blocks[id(event[0])]]
        else:
            for key, count, _ in events:
                blocks[id(key)] += count
        width = -(-len(events) // _POINTS) or 1
        for start in range(0, len(events), width):
            yield Point(stretch.phase, stretch.step, _highest(alive, _changes(events[start : start + width])))
        yield Point(stretch.phase, stretch.step, _positive(alive))


def _changes(events: Iterable[tuple[Key, int, int]]) -> Iterator[tuple[Group, int]]:
    return ((group_of(key), size * count) for key, count, size in events)


def _highest(alive: Counter[Group], changes: Iterable[tuple[Group, int]]) -> dict[Group, int]:
    """Apply the changes, and return what was alive when it was most."""
    total = most = sum(alive.values())
    best = _positive(alive)
    for group, change in changes:
        alive[group] += change
        total += change
        if total > most:
            most, best = total, _positive(alive)
    return best


def _positive(alive: Counter[Group]) -> dict[Group, int]:
    return {group: size for group, size in alive.items() if size > 0}
