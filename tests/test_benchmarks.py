"""The gate of the accuracy benchmark opens and shuts where its limits say, and its data is whole."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import pytest

from benchmarks.accuracy.compare import Outcome, summarize
from benchmarks.accuracy.gate import Limits, PublishedLimits, judge, read_limits
from benchmarks.accuracy.rows import Row, published_measurements, training_steps

LIMITS = Limits(
    "ours",
    "made_up.jsonl",
    0.01,
    0.02,
    0.05,
    phases=0.05,
    families=("llama",),
    lora=False,
    padding_mask=False,
)


def outcome(
    error: float | None, family: str = "llama", file: str = "made_up.jsonl", **plan: object
) -> Outcome:
    """Return a row of 1,000,000 bytes that was estimated with this relative error, or not at all."""
    row = Row("made-up", family, "sweep", plan, {"allocated": 1_000_000}, file)
    if error is None:
        return Outcome(row, {}, "no such family")
    return Outcome(row, {"allocated": round(1_000_000 * (1 + error))})


def test_a_summary_takes_the_nearest_rank() -> None:
    """Of ten rows the ninth is the one that nine of ten do not exceed; signs do not cancel."""
    errors = [index / 1000 * (-1) ** index for index in range(1, 11)]
    summary = summarize([outcome(error) for error in errors], "allocated")
    assert (10, 10) == (summary.rows, summary.estimated)
    assert [0.0055, 0.009, 0.01] == pytest.approx([summary.median, summary.p90, summary.max])


def test_rows_within_the_limits_pass() -> None:
    """Half of the rows at most 1 % off, nine of ten at most 2 %, all at most 5 %."""
    rows = [outcome(0.0)] * 6 + [outcome(-0.015)] * 3 + [outcome(0.049)]
    assert () == judge(LIMITS, rows).violations


@pytest.mark.parametrize(
    ("errors", "complaint"),
    [
        ([0.011, 0.011], "median is 1.10%"),
        ([0.0, 0.0, 0.03], "p90 is 3.00%"),
        ([0.0] * 10 + [-0.06], "max is 6.00%"),
        ([0.0, None], "only 1 of 2 rows were estimated"),
        ([], "only 0 of 0 rows were estimated"),
    ],
)
def test_each_limit_can_fail(errors: list[float | None], complaint: str) -> None:
    """The gate shuts for each limit by itself, for a row without an estimate, and for an empty set."""
    assert complaint in judge(LIMITS, [outcome(error) for error in errors]).violations[0]


def test_a_phase_has_a_limit_of_its_own() -> None:
    """A phase that is wrong shuts the gate though the allocated peak is right."""
    row = replace(outcome(0.0).row, truth={"allocated": 1_000_000, "forward.peak": 500_000})
    wrong = Outcome(row, {"allocated": 1_000_000, "forward.peak": 530_000})
    (violation,) = judge(LIMITS, [wrong]).violations
    assert "forward.peak of made-up is off by 6.00%" in violation


def test_other_rows_are_left_out() -> None:
    """Rows of other files or families, with adapters or with a padding mask do not count for the set."""
    others = [
        outcome(0.5, file="elsewhere.jsonl"),
        outcome(0.5, family="bert"),
        outcome(0.5, lora={"r": 8}),
        outcome(0.5, loop={"padding_mask": True}),
    ]
    assert 1 == judge(LIMITS, [outcome(0.0), *others]).summary.rows


def test_the_data_is_whole() -> None:
    """As many rows as the README of the data says, each with a plan, and a truth to compare it with."""
    steps, published = training_steps(), published_measurements()
    expected = {
        "training_steps.jsonl": 148,
        "oracle_decoders.jsonl": 133,
        "oracle_encoders.jsonl": 143,
        "oracle_vision.jsonl": 53,
        "oracle_random.jsonl": 149,
        "oracle_regimes.jsonl": 90,
        "oracle_families2.jsonl": 143,
        "oracle_diffusion.jsonl": 29,
        "oracle_objectives.jsonl": 17,
    }
    assert expected == Counter(row.file for row in steps)
    assert 120 == len(published)
    assert len(steps) == len({(row.file, row.id) for row in steps})
    assert all(row.plan and row.truth for row in steps)
    assert all(row.truth or row.more_than for row in published)


def test_the_limits_cover_rows() -> None:
    """Every set of gate.toml names families that the data holds."""
    families = {row.family for row in training_steps()}
    assert [] == [limits.name for limits in read_limits() if not families >= set(limits.families)]


def test_a_row_is_left_out_only_for_its_twin() -> None:
    """Rows that the gate leaves out have the plan of another row, and a peak that no estimate could share."""
    rows = {row.id: row for row in training_steps()}
    left_out = [rows[name] for limits in read_limits() for name in limits.left_out]
    for row in left_out:
        twins = [other for other in rows.values() if other.plan == row.plan and other.id != row.id]
        assert 1 == len(twins)
        assert 1.2 < row.truth["allocated"] / twins[0].truth["allocated"]


@pytest.mark.parametrize(
    ("errors", "complaint"),
    [
        ([0.05, 0.05, 0.01], "the median is 5.0%"),
        ([0.0, 0.0, 0.0, 0.11, 0.12], "3 of 5 lie within 10 %"),
        ([0.0, 0.0, 0.0, -0.09], "made-up is estimated 9.0% lower than measured"),
        ([], "no row was estimated"),
    ],
)
def test_published_measurements_beyond_a_limit_are_named(errors: list[float], complaint: str) -> None:
    """The median, the share within a tenth, and any certain row that is estimated too low."""
    rows = [replace(one, row=replace(one.row, confidence="high")) for one in map(outcome, errors)]
    limits = PublishedLimits(median=0.04, within_tenth=0.85, shortfall=0.08)
    assert [complaint] == [said.split(",")[0] for said in limits.violations(rows)][:1]


def test_an_uncertain_published_row_may_be_low() -> None:
    """Only a plan that certainly says what ran is held to the shortfall."""
    rows = [outcome(0.0), outcome(0.0), outcome(-0.09)]
    assert [] == list(PublishedLimits(median=0.04, within_tenth=0.85, shortfall=0.08).violations(rows))
