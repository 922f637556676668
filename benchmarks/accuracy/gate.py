"""The gate: limits on the errors of named sets of rows, kept in `gate.toml`."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any

from benchmarks.accuracy.compare import summarize

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from benchmarks.accuracy.compare import Outcome, Summary
    from benchmarks.accuracy.rows import Row

_TENTH = 0.1


@dataclass(frozen=True, slots=True)
class Limits:
    """A set of rows and the errors it may show; every row of it must be estimated.

    A set is the rows of a file, of all families and plans unless it says which. `phases` is the largest error that
    any figure of a phase may have. `left_out` are the ids of rows that no estimate could meet; `gate.toml` says why.
    """

    name: str
    file: str
    median: float
    p90: float
    max: float
    phases: float | None = None
    families: Sequence[str] = ()
    lora: bool | None = None
    padding_mask: bool | None = None
    left_out: Sequence[str] = ()

    def covers(self, row: Row) -> bool:
        """Say whether a row belongs to the set."""
        lora, padding_mask = bool(row.plan.get("lora")), bool(row.plan.get("loop", {}).get("padding_mask"))
        return (
            row.file == self.file
            and row.id not in self.left_out
            and (not self.families or row.family in self.families)
            and self.lora in (None, lora)
            and self.padding_mask in (None, padding_mask)
        )


@dataclass(frozen=True, slots=True)
class PublishedLimits:
    """What the errors of published measurements may be: their median, how many lie within a tenth, the lowest.

    `shortfall` holds for the rows whose plan certainly says what ran (`confidence` is high).
    """

    median: float
    within_tenth: float
    shortfall: float

    def violations(self, outcomes: Sequence[Outcome]) -> Iterator[str]:
        """Yield what exceeds a limit."""
        pairs = [(one.error(name), one.row) for one in outcomes for name in one.row.truth]
        found = [(error, row) for error, row in pairs if error is not None]
        errors = [abs(error) for error, _ in found]
        if not errors or (middle := median(errors)) > self.median:
            yield (
                f"the median is {middle:.1%}, allowed are {self.median:.0%}"
                if errors
                else "no row was estimated"
            )
        within = sum(error <= _TENTH for error in errors)
        if within < self.within_tenth * len(errors):
            yield f"{within} of {len(errors)} lie within 10 %, asked are {self.within_tenth:.0%}"
        for error, row in found:
            if row.confidence == "high" and error < -self.shortfall:
                yield f"{row.id} is estimated {-error:.1%} lower than measured, allowed are {self.shortfall:.0%}"


@dataclass(frozen=True, slots=True)
class Verdict:
    """What the gate says about one set; it passed if there are no violations."""

    limits: Limits
    summary: Summary
    violations: tuple[str, ...]


def read_limits() -> tuple[Limits, ...]:
    """Read the sets and their limits from `gate.toml`."""
    return tuple(Limits(**table) for table in _tables()["set"])


def read_published_limits() -> PublishedLimits:
    """Read the limits of the published measurements from `gate.toml`."""
    return PublishedLimits(**_tables()["published"])


def _tables() -> dict[str, Any]:
    return tomllib.loads(Path(__file__).with_name("gate.toml").read_text(encoding="utf-8"))


def judge(limits: Limits, outcomes: Sequence[Outcome]) -> Verdict:
    """Hold the rows of one set against its limits."""
    covered = [outcome for outcome in outcomes if limits.covers(outcome.row)]
    summary = summarize(covered, "allocated")
    violations = []
    if summary.estimated < max(summary.rows, 1):
        violations.append(f"only {summary.estimated} of {summary.rows} rows were estimated")
    for name in ("median", "p90", "max"):
        error, limit = getattr(summary, name), getattr(limits, name)
        if error is not None and error > limit:
            violations.append(f"{name} is {error:.2%}, allowed are {limit:.1%}")
    return Verdict(limits, summary, (*violations, *_wrong_phases(limits, covered)))


def _wrong_phases(limits: Limits, outcomes: Sequence[Outcome]) -> Iterator[str]:
    if limits.phases is None:
        return
    for outcome in outcomes:
        for figure in outcome.row.truth:
            error = abs(outcome.error(figure) or 0)
            if error > limits.phases:
                yield f"{figure} of {outcome.row.id} is off by {error:.2%}, allowed are {limits.phases:.1%}"
