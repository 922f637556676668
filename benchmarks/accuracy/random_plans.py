"""Estimates beside the simulator on plans that nobody has seen: drawn anew at each run."""

from __future__ import annotations

import json
import secrets
import sys
from random import Random
from typing import TYPE_CHECKING

from benchmarks.accuracy.compare import compare, summarize
from benchmarks.accuracy.draw import draw
from benchmarks.accuracy.page import HEADER, PHASE_FIGURES, line
from benchmarks.accuracy.simulated import Refused, simulated

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from benchmarks.accuracy.compare import Outcome
    from benchmarks.accuracy.rows import Row

# Limits on |error| of the peak and of every phase.
MEDIAN, P90, MAX = 0.005, 0.02, 0.06
_SPARE = 1.5  # plans drawn for each row that is wanted: transformers refuses some combinations


def random_benchmark(count: int, seed: int | None, python: str, worst: int) -> int:
    """Print how far the estimates lie from `count` simulated plans; return 1 beyond the limits.

    `python` is an interpreter with the extra `simulate`. Without a seed a new one is drawn; it is printed.
    """
    seed = secrets.randbelow(10**6) if seed is None else seed
    print(f"{count} plans drawn with --seed {seed}", flush=True)
    rows, refused = _rows(count, seed, python)
    outcomes = compare(rows)
    failed = list(_violations(outcomes))
    print("\n".join(_page(outcomes, refused, worst)))
    print("within the limits" if not failed else f"BEYOND THE LIMITS: {'; '.join(failed)}")
    return int(bool(failed))


def _rows(count: int, seed: int, python: str) -> tuple[list[Row], list[Refused]]:
    drawn = draw(Random(seed), int(count * _SPARE))
    plans = [(f"{seed}-{number}-{family}", family, plan) for number, (family, plan) in enumerate(drawn)]
    rows: list[Row] = []
    refused: list[Refused] = []
    for answer in simulated(plans, python):
        if isinstance(answer, Refused):
            refused.append(answer)
        else:
            rows.append(answer)
        if sys.stderr.isatty():
            sys.stderr.write(f"\r{len(rows)} simulated, {len(refused)} refused ")
        if len(rows) == count:
            break
    return rows, refused


def _page(outcomes: Sequence[Outcome], refused: Sequence[Refused], worst: int) -> Iterator[str]:
    families = sorted({outcome.row.family for outcome in outcomes})
    yield f"{len(outcomes)} simulated plans, {len(families)} families, {len(refused)} refused; |error| of the estimate"
    yield HEADER
    for figure in ("allocated", *PHASE_FIGURES):
        yield line(figure, summarize(outcomes, figure))
    yield f"\nThe {worst} worst plans, by the figure that is most off"
    for outcome in sorted(outcomes, key=_most, reverse=True)[:worst]:
        errors = ", ".join(f"{name} {error:+.2%}" for name, error in _errors(outcome) if abs(error) > MEDIAN)
        if errors:
            yield f"  {outcome.row.id}: {errors}\n    {json.dumps(outcome.row.plan)}"
    for outcome in outcomes:
        if outcome.why_not:
            yield f"  not estimated: {outcome.row.id}: {outcome.why_not}\n    {json.dumps(outcome.row.plan)}"
    for one in refused:
        yield f"  refused: {one.id}: {one.reason}"


def _errors(outcome: Outcome) -> list[tuple[str, float]]:
    figures = ((figure, outcome.error(figure)) for figure in outcome.row.truth)
    return [(figure, error) for figure, error in figures if error is not None]


def _most(outcome: Outcome) -> float:
    return max((abs(error) for _, error in _errors(outcome)), default=0.0)


def _violations(outcomes: Sequence[Outcome]) -> Iterator[str]:
    for figure in ("allocated", *PHASE_FIGURES):
        summary = summarize(outcomes, figure)
        if summary.estimated < summary.rows:
            yield f"{summary.rows - summary.estimated} plans have no {figure}"
        for name, limit in (("median", MEDIAN), ("p90", P90), ("max", MAX)):
            error = getattr(summary, name)
            if error is not None and error > limit:
                yield f"{figure}: {name} is {error:.2%}, allowed are {limit:.1%}"
