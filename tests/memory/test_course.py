"""The course of the memory: its parts add up to the figures that the estimate gives."""

from __future__ import annotations

from itertools import groupby

import pytest
from tests.memory.plans import GPT2, LLAMA, plan, run

from vramlint.memory.arena import BLOCK
from vramlint.memory.course import course


@pytest.mark.parametrize("config", [LLAMA, GPT2], ids=["llama", "gpt2"])
@pytest.mark.parametrize(
    "changes",
    [{}, {"gradient_checkpointing": True}, {"optimizer": None}, {"gradient_accumulation_steps": 4}],
    ids=["plain", "checkpointed", "no step", "accumulated"],
)
def test_each_phase_peaks_where_the_estimate_says(
    config: dict[str, object], changes: dict[str, object]
) -> None:
    """The largest sum of the parts in a phase is that phase's peak, but for the block of a kept loss."""
    points = course(plan(config, **changes), None)
    for phase, figure in run(config, **changes).phases.items():
        largest = max(sum(point.bytes.values()) for point in points if point.phase == phase)
        assert figure.peak == pytest.approx(largest, abs=BLOCK)


def test_time_runs_forward() -> None:
    """Loading, then forward, backward and step, twice; never more than 81 points of one of them."""
    stretches = [
        (key, len(list(points)))
        for key, points in groupby(course(plan(LLAMA), None), key=lambda point: (point.step, point.phase))
    ]
    steps = [(step, phase) for step in (1, 2) for phase in ("forward", "backward", "optimizer_step")]
    assert steps == [key for key, _ in stretches if key[0] > 0][-6:]
    assert all(count <= 2 * 81 for _, count in stretches)


def test_nothing_is_less_than_nothing() -> None:
    """No part goes below zero, and the states stay once they are made."""
    points = course(plan(LLAMA), None)
    assert all(size > 0 for point in points for size in point.bytes.values())
    second = [point for point in points if point.step == 2]
    assert len({point.bytes["optimizer"] for point in second}) == 1
