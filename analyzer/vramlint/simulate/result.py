"""What a simulated run answers: the peak, the phases, and what was alive at the worst moment."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from vramlint.simulate.recorder import Allocation, Event, Group, Recorder


@dataclass(frozen=True, slots=True)
class Phase:
    """A phase over all steps: its largest amount with what made it up, and what is left at its last end, in bytes.

    `groups` add up to `peak`; what rounding to blocks adds is a group of its own.
    """

    peak: int
    end: int
    step: int
    groups: Mapping[str, int]
    moment: int


@dataclass(frozen=True, slots=True)
class Tensors:
    """Equal tensors that are alive at the peak: how many, their bytes together, and the line that made them."""

    group: Group
    count: int
    bytes: int
    shape: tuple[int, ...]
    dtype: str
    operator: str
    line: str


@dataclass(frozen=True, slots=True)
class Simulation:
    """One simulated run. Bytes are what the caching allocator hands out: each storage in blocks of 512.

    `curve` has one point for each event: phase, step and bytes. `notes` say what differs from the plan, `device` is
    what the tensors were said to be on.
    """

    peak: int
    phase: str
    step: int
    phases: Mapping[str, Phase]
    tensors: tuple[Tensors, ...]
    curve: tuple[tuple[str, int, int], ...]
    parameters: int
    trainable_parameters: int
    steps: int
    seconds: float
    device: str
    libraries: Mapping[str, str]
    notes: tuple[str, ...]


class Replay:
    """Goes through a recorder's log once for the amounts, and again up to a moment for what was alive then."""

    def __init__(self, recorder: Recorder) -> None:
        self.recorder = recorder
        self.curve: list[tuple[str, int, int]] = []
        self.phases: dict[str, Phase] = {}
        self._walk()

    @property
    def worst(self) -> str:
        """Return the phase of the peak, the earlier one where two are equal."""
        return max(self.phases, key=lambda name: self.phases[name].peak)

    def _walk(self) -> None:
        total, name = 0, "load"
        for moment, event in enumerate(self.recorder.events):
            if event.phase != name and name in self.phases:
                self.phases[name] = replace(self.phases[name], end=total)
            name = event.phase
            total += event.sign * self._bytes(event)
            self.curve.append((name, event.step, total))
            found = self.phases.get(name)
            if found is None or total > found.peak:
                self.phases[name] = Phase(total, total, event.step, {}, moment)
        if name in self.phases:
            self.phases[name] = replace(self.phases[name], end=total)
        for name, phase in self.phases.items():
            self.phases[name] = replace(phase, groups=self._by_group(self.alive_at(phase.moment)))

    def _bytes(self, event: Event) -> int:
        return self.recorder.allocations[event.number].rounded if event.sign else 0

    def alive_at(self, moment: int) -> set[int]:
        """Return the numbers of the allocations that are alive after an event."""
        alive: set[int] = set()
        for event in self.recorder.events[: moment + 1]:
            if event.sign > 0:
                alive.add(event.number)
            elif event.sign < 0:
                alive.discard(event.number)
        return alive

    def _by_group(self, alive: Iterable[int]) -> dict[str, int]:
        sums: Counter[str] = Counter()
        for number in alive:
            one = self.recorder.allocations[number]
            sums[self.recorder.group_of(number)] += one.bytes
            sums["rounding"] += one.rounded - one.bytes
        return dict(sums)

    def tensors_at(self, moment: int) -> tuple[Tensors, ...]:
        """Return what is alive after an event, equal tensors as one, the largest first."""
        kinds: dict[tuple[object, ...], list[Allocation]] = {}
        for number in self.alive_at(moment):
            one, group = self.recorder.allocations[number], self.recorder.group_of(number)
            same = (group, one.shape, one.dtype, one.operator, one.line)
            kinds.setdefault(same, []).append(one)
        found = [_equal(str(key[0]), same) for key, same in kinds.items()]
        return tuple(sorted(found, key=lambda tensors: (-tensors.bytes, tensors.line, tensors.shape)))


def _equal(group: str, same: Sequence[Allocation]) -> Tensors:
    one = same[0]
    total = sum(allocation.rounded for allocation in same)
    return Tensors(group, len(same), total, one.shape, one.dtype, one.operator, one.line)  # type: ignore[arg-type]
