"""Estimates beside the truth: the relative error of every figure of every row."""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil
from statistics import median
from typing import TYPE_CHECKING

from pydantic import ValidationError

from vramlint.knowledge import gpus
from vramlint.memory.engine import CannotEstimate, estimate
from vramlint.plan.document import Plan

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from benchmarks.accuracy.rows import Row
    from vramlint.knowledge.gpu import Gpu


@dataclass(frozen=True, slots=True)
class Outcome:
    """One row with the estimate's figures in bytes, or with the reason why there are none."""

    row: Row
    figures: Mapping[str, int]
    why_not: str | None = None

    def error(self, figure: str) -> float | None:
        """Return the signed relative error of one figure, None where either side lacks it."""
        truth, estimate = self.row.truth.get(figure), self.figures.get(figure)
        return None if truth is None or estimate is None else estimate / truth - 1


@dataclass(frozen=True, slots=True)
class Summary:
    """Absolute relative errors of some rows; the figures are None where no row was estimated."""

    rows: int
    estimated: int
    median: float | None
    p90: float | None
    max: float | None


def compare(rows: Iterable[Row]) -> tuple[Outcome, ...]:
    """Estimate every row."""
    return tuple(map(_outcome, rows))


def summarize(outcomes: Sequence[Outcome], figure: str) -> Summary:
    """Summarize the errors of one figure over the rows that measured it."""
    measured = [outcome for outcome in outcomes if figure in outcome.row.truth]
    errors = sorted(abs(error) for outcome in measured if (error := outcome.error(figure)) is not None)
    if not errors:
        return Summary(len(measured), 0, None, None, None)
    # The nearest rank: nine rows of ten are at most this far off.
    p90 = errors[ceil(0.9 * len(errors)) - 1]
    return Summary(len(measured), len(errors), median(errors), p90, errors[-1])


def _outcome(row: Row) -> Outcome:
    try:
        return Outcome(row, _figures(row))
    except CannotEstimate as reason:
        return Outcome(row, {}, str(reason))
    except ValidationError as error:
        return Outcome(row, {}, f"no plan document: {error.errors()[0]['msg']}")
    except Exception as error:  # noqa: BLE001 - a crash belongs in the table, beside the rows that work
        return Outcome(row, {}, f"{type(error).__name__}: {error}")


def _gpu(name: str | None) -> Gpu | None:
    """Return the GPU of a row; None where its name says none that is known."""
    try:
        return gpus.find(name) if name else None
    except (gpus.UnknownGpu, gpus.AmbiguousGpu):
        return None


def _figures(row: Row) -> dict[str, int]:
    answer = estimate(Plan.model_validate(row.plan), _gpu(row.gpu))
    figures = {
        "allocated": answer.allocated.expected,
        "reserved": answer.reserved.expected,
        "device": answer.device.expected,
    }
    for name, ends in (("reserved", answer.reserved), ("device", answer.device)):
        figures |= {f"{name}.low": ends.low, f"{name}.high": ends.high}
    for phase, figure in answer.phases.items():
        figures |= {f"{phase}.peak": figure.peak, f"{phase}.end": figure.end}
    return figures
