"""Estimates against published GPU measurements, group by group.

The tolerances are what each group reaches, rounded up; they are only ever tightened. Rows keep their place of
publication in benchmarks/data/published_measurements.jsonl.
"""

from __future__ import annotations

from statistics import median
from typing import TYPE_CHECKING

import pytest

from benchmarks.accuracy.compare import compare
from benchmarks.accuracy.rows import published_measurements

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from benchmarks.accuracy.compare import Outcome

# group: largest median, and share of rows that lie within 10 %
TOLERANCES = {
    "fms_acceleration": (0.005, 1.0),
    "fsdp_qlora_bench": (0.07, 0.7),
    "hf_perf_train_gpu_one": (0.07, 0.6),
    "litgpt_inference": (0.01, 1.0),
    "litgpt_resource_tables": (0.04, 0.96),
    "rasbt_gpt2_124m": (0.05, 0.8),
    "rasbt_vit": (0.04, 1.0),
    "torchtitan_h100_202412": (0.06, 0.75),
    "torchtune_l32_3b": (0.02, 1.0),
    "torchtune_llama2_defaults": (0.04, 1.0),
}

# Rows of high confidence that are more than 8 % low, each with the reason that is known. Until 1.10 torch saved
# the input of softmax beside its output, and a plan that names no version means today's.
LOW = {
    "hf-bertlarge-vanilla-bs4": "the softmax of torch 1.10",
    "hf-bertlarge-bs4-fp16": "the softmax of torch 1.10",
    "hf-bertlarge-bs4-adafactor": "the softmax of torch 1.10",
    "hf-bertlarge-bs4-adam8bit": "the softmax of torch 1.10",
    "rasbt-vitl16-bf16true-bs4-ga4": "unused segments after the optimizer's step",
}


@pytest.fixture(scope="module")
def outcomes() -> Sequence[Outcome]:
    """Return every published row with its estimate."""
    return compare(published_measurements())


def errors_of(outcomes: Sequence[Outcome]) -> Mapping[str, list[float]]:
    """Return the signed errors by group."""
    groups: dict[str, list[float]] = {}
    for outcome in outcomes:
        for figure in outcome.row.truth:
            error = outcome.error(figure)
            if error is not None:
                groups.setdefault(outcome.row.split, []).append(error)
    return groups


def test_every_row_is_estimated(outcomes: Sequence[Outcome]) -> None:
    """No row that a plan can express is refused."""
    assert [] == [(outcome.row.id, outcome.why_not) for outcome in outcomes if outcome.why_not]


@pytest.mark.parametrize("group", sorted(TOLERANCES))
def test_groups_stay_within_their_tolerance(group: str, outcomes: Sequence[Outcome]) -> None:
    """The median error of a group, and the share of its rows within 10 %."""
    largest, share = TOLERANCES[group]
    errors = [abs(error) for error in errors_of(outcomes)[group]]
    assert largest >= median(errors)
    assert share <= sum(error <= 0.1 for error in errors) / len(errors)


def test_all_rows_together(outcomes: Sequence[Outcome]) -> None:
    """A median of 4 %, and 85 % within 10 %, over all groups."""
    errors = [abs(error) for group in errors_of(outcomes).values() for error in group]
    assert 0.04 >= median(errors)
    assert 0.85 <= sum(error <= 0.1 for error in errors) / len(errors)


def test_figures_are_rarely_low(outcomes: Sequence[Outcome]) -> None:
    """More than 8 % below the measurement are only rows whose reason is noted."""
    low = {
        outcome.row.id
        for outcome in outcomes
        for figure in outcome.row.truth
        if outcome.row.confidence == "high" and (outcome.error(figure) or 0.0) < -0.08
    }
    assert set(LOW) >= low


def test_runs_that_died_need_more_than_their_gpu_has(outcomes: Sequence[Outcome]) -> None:
    """Where a run died for want of memory, the highest figure for the device exceeds the GPU."""
    died = [outcome for outcome in outcomes if outcome.row.more_than is not None]
    fitting = [o.row.id for o in died if o.figures["device.high"] <= (o.row.more_than or 0)]
    assert [] == fitting


def test_reserved_ranges_hold_the_truth(outcomes: Sequence[Outcome]) -> None:
    """Of the rows with a figure for reserved memory, at least nine of ten lie in the range."""
    rows = [outcome for outcome in outcomes if "reserved" in outcome.row.truth]
    inside = [
        o.figures["reserved.low"] <= o.row.truth["reserved"] <= o.figures["reserved.high"] for o in rows
    ]
    assert 0.9 <= sum(inside) / len(inside)
