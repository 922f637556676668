"""What was measured: the memory of each phase of each step, in the order of time."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from vramlint.shim.phases import AFTER, BACKWARD, FORWARD, STEP

if TYPE_CHECKING:
    from vramlint.shim.meter import Meter

ORDER = ("load", "forward", "backward", "optimizer_step")


@dataclass(frozen=True, slots=True)
class Record:
    """Bytes of one phase; `step` counts from 1 and is 0 before the first forward. `end` is what stays allocated."""

    phase: str
    step: int
    allocated: int
    end: int
    reserved: int
    device: int


@dataclass(slots=True)
class Recording:
    """Turns the phases that begin into records of those that ended."""

    meter: Meter
    records: list[Record] = field(default_factory=list)
    _phase: str = "load"
    _step: int = 0
    _stepped: bool = True

    def begin(self) -> None:
        """Start with what is loaded before the first forward."""
        self.meter.reset()

    def enter(self, phase: str) -> None:
        """Take note that a phase begins; the calls of modules inside another phase begin none."""
        if phase == self._phase or (phase == FORWARD and self._phase == BACKWARD):
            return
        self._close(phase)
        if phase == FORWARD and self._stepped:
            self._step, self._stepped = self._step + 1, False
        self._stepped = self._stepped or phase == STEP
        self._phase = phase
        self.meter.reset()

    def end(self) -> None:
        """Close the last phase."""
        self._close(None)

    def peak(self, phase: str) -> int | None:
        """Return the most that was allocated in a phase over all steps."""
        return max((record.allocated for record in self.records if record.phase == phase), default=None)

    def _close(self, following: str | None) -> None:
        meter = self.meter
        self.records.append(
            Record(
                _owner(self._phase, following),
                self._step,
                meter.peak_allocated(),
                meter.allocated(),
                meter.peak_reserved(),
                meter.device(),
            )
        )


def _owner(phase: str, following: str | None) -> str:
    """Return whose time it is: between backward and step the step's (clipping); without a step still backward's."""
    if phase != AFTER:
        return phase
    return STEP if following == STEP else BACKWARD
