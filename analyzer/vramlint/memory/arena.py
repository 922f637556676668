"""The arena: counts the bytes that are alive, remembers the worst moment, and what was alive then.

Storages are freed when Python drops the last reference to them, so a forward pass that is written as
ordinary code has the lifetimes that the same code has in torch, down to the local variables.

A stack of equal layers is walked once inside a *repeat region*. Since every copy starts where the
one before it ended, everything in the region is linear in the number of copies: what the walked copy
adds is added again for each further copy, and the worst moment lies in the first or the last copy.
"""

from __future__ import annotations

from collections import Counter
from contextlib import contextmanager
from dataclasses import dataclass, field
from math import prod
from typing import TYPE_CHECKING, NamedTuple, TypeAlias

from vramlint.memory.estimate import Moment

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping, Sequence

    from vramlint.memory.ledger import Phase

# c10/cuda/CUDACachingAllocator.cpp, kMinBlockSize: blocks are multiples of 512 bytes.
BLOCK = 512
_EVERY = 10**9  # more copies than any region has


def rounded(size: int) -> int:
    """Return the bytes of the block that the caching allocator hands out for `size` bytes."""
    return -(-size // BLOCK) * BLOCK


class Key(NamedTuple):
    """What a storage is: its label, kind, shape and bits per element; one of `shards` equal parts of it."""

    label: str
    kind: str
    shape: tuple[int, ...]
    bits: int
    shards: int = 1

    @property
    def bytes(self) -> int:
        """Return the bytes without rounding."""
        return -(-prod(self.shape) * self.bits // (8 * self.shards))


class Region:
    """A stretch of the walk that stands for `copies` equal ones; open while it is being walked."""

    __slots__ = ("copies", "open")

    def __init__(self, copies: int) -> None:
        self.copies = copies
        self.open = False


# A key, how many blocks of it come (or go, below zero), and the bytes of one.
_Event: TypeAlias = tuple[Key, int, int]


@dataclass(frozen=True, slots=True)
class _Repeat:
    """The log entries `start` to `stop` happened `extra` times more."""

    start: int
    stop: int
    extra: int


@dataclass(slots=True)
class Peak:
    """A largest total: its place in the log, the copies of enclosing regions passed there, and its step."""

    bytes: int
    at: int
    passed: tuple[_Repeat, ...] = ()
    step: int = 0


@dataclass(frozen=True, slots=True)
class Mark:
    """A place in the walk: in the log, in the moments, and the bytes alive there."""

    at: int
    moments: int
    total: int


@dataclass(slots=True)
class PhaseRecord:
    """What one phase saw: its peak and the total at its last end, in bytes."""

    peak: Peak
    end: int


@dataclass(frozen=True, slots=True)
class Stretch:
    """One phase of one step: what is allocated (+) and released (-) in it, all copies of a region told.

    An echo repeats a step whose lasting storages, the optimizer's states, are there already.
    """

    phase: Phase
    step: int
    events: Sequence[_Event]
    is_echo: bool


@dataclass(slots=True)
class Arena:
    """Live bytes by key, with a log of every allocation and release."""

    total: int = 0
    label: str = ""
    kind: str = "activation"
    phase: Phase = "load"
    step: int = 0
    phases: dict[Phase, PhaseRecord] = field(default_factory=dict)
    moments: list[Moment] = field(default_factory=list)
    _open: bool = True
    _stop: int = 0
    _echoed: tuple[int, int] | None = None
    _began: list[tuple[int, Phase, int]] = field(default_factory=lambda: [(0, "load", 0)])
    _high: int = 0
    _high_at: int = 0
    _passed: tuple[_Repeat, ...] = ()
    _regions: tuple[Region, ...] = ()
    _log: list[_Event | _Repeat] = field(default_factory=list)

    def allocate(self, key: Key, size: int, count: int = 1) -> None:
        """Count `count` blocks of `size` (already rounded) bytes as alive."""
        self.total += size * count
        self._log.append((key, count, size))
        if self.total > self._high:
            self._high, self._high_at, self._passed = self.total, len(self._log), ()

    def release(self, key: Key, size: int, count: int = 1) -> None:
        """Count them as free again."""
        self.total -= size * count
        self._log.append((key, -count, size))

    def rename(self, old: Key, new: Key, size: int) -> None:
        """Book a live storage of `size` bytes under another key."""
        self._log.append((old, -1, size))
        self._log.append((new, 1, size))

    @property
    def regions(self) -> tuple[Region, ...]:
        """Return the regions being walked, the outermost first."""
        return self._regions

    def enter(self, phase: Phase, step: int) -> None:
        """Begin a phase of a step; the phase before it ends here."""
        self.leave()
        self.phase, self.step, self._open = phase, step, True
        self._began.append((len(self._log), phase, step))
        self._restart()
        self._note(self.total, "begin")

    def leave(self) -> None:
        """End the current phase: keep its largest total over all steps, and the total at its last end."""
        if not self._open:
            return
        self._open = False
        self._stop = len(self._log)
        record = self.phases.get(self.phase)
        if record is None:
            record = self.phases[self.phase] = PhaseRecord(Peak(0, 0), 0)
        if self._high > record.peak.bytes:
            record.peak = Peak(self._high, self._high_at, self._passed, self.step)
        record.end = self.total
        self._note(self._high, "largest")
        self._note(self.total, "end")

    def mark(self) -> Mark:
        """Return where the walk stands."""
        return Mark(len(self._log), len(self.moments), self.total)

    def events(self, most: int, least: int) -> tuple[list[_Event], list[_Event]]:
        """Return what was allocated and released until the last phase ended, and then what an echoed step repeats.

        Of the further copies of a region at most `most` are told, and no block of fewer than `least` bytes.
        """
        again = self._unrolled(self._echoed[0], self._stop, most, least) if self._echoed is not None else []
        return self._unrolled(0, self._stop, most, least), again

    def stretches(self) -> Iterator[Stretch]:
        """Yield each phase of each step, an echoed step included."""
        ends = [*(start for start, _, _ in self._began[1:]), self._stop]
        for (start, phase, step), stop in zip(self._began, ends, strict=True):
            yield Stretch(phase, step, self._unrolled(start, stop, _EVERY, 0), is_echo=False)
        if self._echoed is None:
            return
        begin, again = self._echoed
        for (start, phase, _), stop in zip(self._began, ends, strict=True):
            if stop > begin:
                yield Stretch(phase, again, self._unrolled(max(start, begin), stop, _EVERY, 0), is_echo=True)

    def _unrolled(self, start: int, stop: int, most: int, least: int) -> list[_Event]:
        told: list[_Event] = []
        for entry in self._log[start:stop]:
            if isinstance(entry, _Repeat):
                told += self._unrolled(entry.start, entry.stop, most, least) * min(entry.extra, most)
            elif entry[2] >= least:
                told.append(entry)
        return told

    def echo(self, mark: Mark, phases: Collection[Phase], step: int) -> None:
        """Book that these phases happen again as they did since `mark`, on top of what is alive now."""
        more, now = self.total - mark.total, len(self._log)
        self._echoed = (mark.at, step)
        for phase in phases:
            record = self.phases[phase]
            peak = record.peak
            if peak.at >= mark.at:
                again = (_Repeat(mark.at, peak.at, 1), *peak.passed)
                record.peak = Peak(peak.bytes + more, now, again, step)
            record.end += more
        for moment in self.moments[mark.moments :]:
            label = f"step {step}: {moment.label.partition(': ')[2]}"
            shift = more if moment.phase in phases or moment.label.endswith("begin") else 0
            self.moments.append(Moment(len(self.moments), moment.phase, moment.bytes + shift, label, step))

    def _note(self, total: int, label: str) -> None:
        moment = Moment(len(self.moments), self.phase, total, f"step {self.step}: {label}", self.step)
        self.moments.append(moment)

    def _restart(self) -> None:
        self._high, self._high_at, self._passed = self.total, len(self._log), ()

    @contextmanager
    def repeat(self, region: Region) -> Iterator[None]:
        """Walk one copy of the region; on leaving, the other copies are added."""
        outer = (self._high, self._high_at, self._passed)
        start, start_total = len(self._log), self.total
        self._restart()
        self._regions, region.open = (*self._regions, region), True
        yield
        self._regions, region.open = self._regions[:-1], False
        self._add_copies(region.copies - 1, start, start_total, outer)

    def _add_copies(
        self, extra: int, start: int, start_total: int, outer: tuple[int, int, tuple[_Repeat, ...]]
    ) -> None:
        delta, stop = self.total - start_total, len(self._log)
        passed = extra if delta > 0 else 0
        high = self._high + delta * passed
        if extra:
            self._log.append(_Repeat(start, stop, extra))
            self.total += delta * extra
        if high <= outer[0]:
            self._high, self._high_at, self._passed = outer
            return
        here = (_Repeat(start, stop, passed),) if passed else ()
        self._high, self._passed = high, (*here, *self._passed)

    def alive_at_peaks(self) -> dict[Phase, Counter[Key]]:
        """Return how many storages of each key were alive at the peak of each phase."""
        keys = {id(entry[0]): entry[0] for entry in self._log if not isinstance(entry, _Repeat)}
        alive: dict[Phase, Counter[Key]] = {}
        counts: _Counts = {}
        done = 0
        for phase, record in sorted(self.phases.items(), key=lambda item: item[1].peak.at):
            _add(counts, self._replay(done, record.peak.at), 1)
            done = record.peak.at
            alive[phase] = _by_key(self._at(record.peak, counts), keys)
        return alive

    def _at(self, peak: Peak, counts: _Counts) -> _Counts:
        """Add what further copies of enclosing regions have left, to what the walked ones have."""
        counts = counts.copy()
        for repeat in peak.passed:
            _add(counts, self._replay(repeat.start, repeat.stop), repeat.extra)
        return counts

    def _replay(self, start: int, stop: int) -> _Counts:
        """Sum up a stretch of the log, by the identity of the key: a storage is released under its own."""
        counts: _Counts = {}
        known = counts.get
        for entry in self._log[start:stop]:
            if isinstance(entry, _Repeat):
                _add(counts, self._replay(entry.start, entry.stop), entry.extra)
            else:
                identity = id(entry[0])
                counts[identity] = known(identity, 0) + entry[1]
        return counts


_Counts: TypeAlias = dict[int, int]


def _add(counts: _Counts, more: _Counts, times: int) -> None:
    known = counts.get
    for identity, count in more.items():
        counts[identity] = known(identity, 0) + count * times


def _by_key(counts: _Counts, keys: Mapping[int, Key]) -> Counter[Key]:
    total: Counter[Key] = Counter()
    for identity, count in counts.items():
        if count:
            total[keys[identity]] += count
    return Counter({key: count for key, count in total.items() if count})
