"""The gate: limits on the errors of named sets of rows, kept in `gate.toml`."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.accuracy.compare import summarize

if TYPE_CHECKING:
    from collections.abc import Sequence

    from benchmarks.accuracy.compare import Outcome, Summary
    from benchmarks.accuracy.rows import Row


@dataclass(frozen=True, slots=True)
class Limits:
    """A set of rows and the errors it may show; every row of it must be estimated.

    `left_out` are the ids of rows that no estimate could meet; `gate.toml` says why.
    """

    name: str
    families: Sequence[str]
    lora: bool
    padding_mask: bool
    median: float
    p90: float
    max: float
    left_out: Sequence[str] = ()

    def covers(self, row: Row) -> bool:
        """Say whether a row belongs to the set."""
        return (
            row.family in self.families
            and row.id not in self.left_out
            and bool(row.plan.get("lora")) == self.lora
            and bool(row.plan.get("loop", {}).get("padding_mask")) == self.padding_mask
        )


@dataclass(frozen=True, slots=True)
class Verdict:
    """What the gate says about one set; it passed if there are no violations."""

    limits: Limits
    summary: Summary
    violations: tuple[str, ...]


def read_limits() -> tuple[Limits, ...]:
    """Read the sets and their limits from `gate.toml`."""
    sets = tomllib.loads(Path(__file__).with_name("gate.toml").read_text(encoding="utf-8"))["set"]
    return tuple(Limits(**table) for table in sets)


def judge(limits: Limits, outcomes: Sequence[Outcome]) -> Verdict:
    """Hold the rows of one set against its limits."""
    summary = summarize([outcome for outcome in outcomes if limits.covers(outcome.row)], "allocated")
    violations = []
    if summary.estimated < max(summary.rows, 1):
        violations.append(f"only {summary.estimated} of {summary.rows} rows were estimated")
    for name in ("median", "p90", "max"):
        error, limit = getattr(summary, name), getattr(limits, name)
        if error is not None and error > limit:
            violations.append(f"{name} is {error:.2%}, allowed are {limit:.1%}")
    return Verdict(limits, summary, tuple(violations))
