"""The benchmark as a page of text: all of it, or the few lines that the README shows."""

from __future__ import annotations

from dataclasses import dataclass
from statistics import median
from typing import TYPE_CHECKING

from benchmarks.accuracy.compare import Outcome, Summary, summarize

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from benchmarks.accuracy.gate import Verdict

PHASE_FIGURES = (
    "load.end", "forward.peak", "forward.end", "backward.peak", "optimizer_step.peak", "optimizer_step.end",
)  # fmt: skip
HEADER = f"{'':38}{'rows':>5}{'estimated':>11}{'median':>10}{'p90':>10}{'max':>10}"


@dataclass(frozen=True, slots=True)
class Result:
    """What one run of the benchmark found."""

    steps: Sequence[Outcome]
    published: Sequence[Outcome]
    verdicts: Sequence[Verdict]
    published_violations: Sequence[str]

    @property
    def passed(self) -> bool:
        """Say whether every limit holds."""
        return not self.published_violations and not any(one.violations for one in self.verdicts)


def full(result: Result, worst: int) -> Iterator[str]:
    """Yield the whole page, with the `worst` rows one by one."""
    yield "Allocated peak against training steps measured on fake CUDA tensors, |error|"
    yield HEADER
    for family, split in sorted({(step.row.family, step.row.split) for step in result.steps}):
        group = [step for step in result.steps if (step.row.family, step.row.split) == (family, split)]
        yield line(f"{family}, {split}", summarize(group, "allocated"))
    yield line("all", summarize(result.steps, "allocated"))
    yield "\nPhases, same rows"
    yield from (line(figure, summarize(result.steps, figure)) for figure in PHASE_FIGURES)
    yield f"\nThe {worst} worst rows"
    yield from _worst(result.steps, worst)
    yield from _not_estimated(result.steps)
    yield "\nPublished GPU measurements, |error| of the figure that was published"
    yield HEADER
    yield from _published(result.published)
    yield "\nThe same by the group that published them"
    yield from _groups(result.published)
    yield "\nGate"
    yield HEADER
    for verdict in result.verdicts:
        yield line(verdict.limits.name, verdict.summary)
        yield _passed(verdict.violations)
    yield "  published GPU measurements"
    yield _passed(result.published_violations)


def brief(result: Result) -> Iterator[str]:
    """Yield a table of ten lines."""
    yield f"{'|error| of the estimate':38}{HEADER[38:]}"
    yield "allocated peak, measured training steps"
    yield from (line(verdict.limits.name, verdict.summary) for verdict in result.verdicts)
    yield line("all of them, and the other rows", summarize(result.steps, "allocated"))
    yield "published GPU measurements"
    yield from _published(result.published)


def _published(outcomes: Sequence[Outcome]) -> Iterator[str]:
    for figure in sorted({name for outcome in outcomes for name in outcome.row.truth}):
        yield line(figure, summarize(outcomes, figure))
    errors = [
        abs(error)
        for outcome in outcomes
        for name in outcome.row.truth
        if (error := outcome.error(name)) is not None
    ]
    if errors:
        within = sum(error <= 0.1 for error in errors)
        yield f"  within 10 %: {within} of {len(errors)} estimated figures ({within / len(errors):.0%})"
    died = [outcome for outcome in outcomes if outcome.row.more_than is not None and outcome.figures]
    exceeded = sum(outcome.figures["device"] > (outcome.row.more_than or 0) for outcome in died)
    yield f"  runs that died for want of memory: {exceeded} of {len(died)} estimated so"


def _groups(outcomes: Sequence[Outcome]) -> Iterator[str]:
    """Yield a line for each group: rows, median, how many lie within 10 %, and the worst row."""
    for group in sorted({outcome.row.split for outcome in outcomes}):
        errors = [
            (error, outcome.row.id)
            for outcome in outcomes
            for name in outcome.row.truth
            if outcome.row.split == group and (error := outcome.error(name)) is not None
        ]
        if errors:
            middle = median(abs(error) for error, _ in errors)
            within = sum(abs(error) <= 0.1 for error, _ in errors)
            error, worst = max(errors, key=lambda pair: abs(pair[0]))
            start = f"  {group:28}{len(errors):4}  median {middle:6.1%}  within 10 %: {within:3}"
            yield f"{start}  worst {error:+.1%} {worst}"


def _passed(violations: Sequence[str]) -> str:
    return f"    FAILED: {'; '.join(violations)}" if violations else "    passed"


def _worst(outcomes: Sequence[Outcome], count: int) -> Iterator[str]:
    errors = [(error, outcome) for outcome in outcomes if (error := outcome.error("allocated")) is not None]
    for error, outcome in sorted(errors, key=lambda pair: -abs(pair[0]))[:count]:
        estimate, truth = outcome.figures["allocated"] / 1e9, outcome.row.truth["allocated"] / 1e9
        yield f"  {error:+9.3%}  {outcome.row.id}: estimated {estimate:.3f} GB, measured {truth:.3f} GB"


def _not_estimated(outcomes: Sequence[Outcome]) -> Iterator[str]:
    missing = [outcome for outcome in outcomes if outcome.why_not]
    if not missing:
        return
    yield f"\nNot estimated: {len(missing)} of {len(outcomes)} rows"
    yield from (f"  {outcome.row.id}: {outcome.why_not}" for outcome in missing)


def line(name: str, summary: Summary) -> str:
    """Return one row of a table under `HEADER`."""
    errors = "".join(f"{_percent(error):>10}" for error in (summary.median, summary.p90, summary.max))
    return f"  {name:36}{summary.rows:5}{summary.estimated:11}{errors}"


def _percent(error: float | None) -> str:
    return "-" if error is None else f"{100 * error:.3f} %"
