"""Print how accurate the estimates are: `python -m benchmarks.accuracy [--gate] [--json] [--worst N]`."""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from benchmarks.accuracy.compare import Outcome, Summary, compare, summarize
from benchmarks.accuracy.gate import Verdict, judge, read_limits
from benchmarks.accuracy.rows import published_measurements, training_steps

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

PHASE_FIGURES = (
    "load.end", "forward.peak", "forward.end", "backward.peak", "optimizer_step.peak", "optimizer_step.end",
)  # fmt: skip
HEADER = f"{'':38}{'rows':>5}{'estimated':>11}{'median':>10}{'p90':>10}{'max':>10}"


def main() -> int:
    """Run the benchmark; return 1 if `--gate` was asked for and a limit is exceeded."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.accuracy", description=__doc__)
    parser.add_argument("--gate", action="store_true", help="exit 1 when a limit of gate.toml is exceeded")
    parser.add_argument("--json", action="store_true", help="print every row and every error as JSON")
    parser.add_argument("--worst", type=int, default=10, metavar="N", help="list the N worst rows")
    options = parser.parse_args()

    steps, published = compare(training_steps()), compare(published_measurements())
    verdicts = [judge(limits, steps) for limits in read_limits()]
    if options.json:
        print(json.dumps(_document(steps, published, verdicts), indent=1))
    else:
        print("\n".join(_page(steps, published, verdicts, options.worst)))
    return int(options.gate and any(verdict.violations for verdict in verdicts))


def _page(
    steps: Sequence[Outcome], published: Sequence[Outcome], verdicts: Sequence[Verdict], worst: int
) -> Iterator[str]:
    yield "Allocated peak against training steps measured on fake CUDA tensors, |error|"
    yield HEADER
    for family, split in sorted({(step.row.family, step.row.split) for step in steps}):
        group = [step for step in steps if (step.row.family, step.row.split) == (family, split)]
        yield _line(f"{family}, {split}", summarize(group, "allocated"))
    yield _line("all", summarize(steps, "allocated"))
    yield "\nPhases, same rows"
    yield from (_line(figure, summarize(steps, figure)) for figure in PHASE_FIGURES)
    yield f"\nThe {worst} worst rows"
    yield from _worst(steps, worst)
    yield from _not_estimated(steps)
    yield "\nPublished GPU measurements, |error| of the figure that was published (informational)"
    yield from _published(published)
    for verdict in verdicts:
        yield f"\nGate: {verdict.limits.name}"
        yield _line("", verdict.summary)
        yield "  passed" if not verdict.violations else f"  FAILED: {'; '.join(verdict.violations)}"


def _published(outcomes: Sequence[Outcome]) -> Iterator[str]:
    yield HEADER
    for figure in sorted({name for outcome in outcomes for name in outcome.row.truth}):
        yield _line(figure, summarize(outcomes, figure))
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


def _line(name: str, summary: Summary) -> str:
    errors = "".join(f"{_percent(error):>10}" for error in (summary.median, summary.p90, summary.max))
    return f"  {name:36}{summary.rows:5}{summary.estimated:11}{errors}"


def _percent(error: float | None) -> str:
    return "-" if error is None else f"{100 * error:.3f} %"


def _document(
    steps: Sequence[Outcome], published: Sequence[Outcome], verdicts: Sequence[Verdict]
) -> dict[str, Any]:
    return {
        "training_steps": [_record(outcome) for outcome in steps],
        "published_measurements": [_record(outcome) for outcome in published],
        "gate": [asdict(verdict) for verdict in verdicts],
    }


def _record(outcome: Outcome) -> dict[str, Any]:
    return {
        "id": outcome.row.id,
        "family": outcome.row.family,
        "split": outcome.row.split,
        "truth": outcome.row.truth,
        "more_than": outcome.row.more_than,
        "estimate": outcome.figures,
        "errors": {figure: outcome.error(figure) for figure in outcome.row.truth},
        "why_not": outcome.why_not,
    }


if __name__ == "__main__":
    sys.exit(main())
