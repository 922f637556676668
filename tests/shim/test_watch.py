"""`vramlint.watch()`: real memory by phases, by a made-up meter here, since the tests' machines have no GPU."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pytest

import vramlint
from vramlint.shim.chart import Moment, Pair, comparison, course
from vramlint.shim.estimated import run_of
from vramlint.shim.phases import AFTER, BACKWARD, FORWARD, STEP
from vramlint.shim.recording import Recording
from vramlint.shim.watch import Watch

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

MEGA = 10**6
RUN = {
    "memory": {
        "allocated": 40 * MEGA,
        "reserved": 50 * MEGA,
        "device": 500 * MEGA,
        "phases": {
            "load": {"peak": 10 * MEGA, "end": 10 * MEGA},
            "forward": {"peak": 22 * MEGA, "end": 20 * MEGA},
            "backward": {"peak": 40 * MEGA, "end": 20 * MEGA},
            "optimizer_step": {"peak": 30 * MEGA, "end": 20 * MEGA},
        },
    }
}


@dataclass(slots=True)
class Steps:
    """A meter whose peaks are given one after the other; a peak is of the phase that is being closed."""

    peaks: list[int]
    at: Iterator[int] = field(init=False)
    now: int = 0

    def __post_init__(self) -> None:
        self.at = iter(self.peaks)

    def reset(self) -> None:
        """Take the next stretch."""
        self.now = next(self.at, 0)

    def allocated(self) -> int:
        """Half of it stays."""
        return self.now // 2

    def peak_allocated(self) -> int:
        """Return the peak of the stretch."""
        return self.now

    def peak_reserved(self) -> int:
        """Some more."""
        return self.now + MEGA

    def device(self) -> int:
        """Much more."""
        return self.now + 400 * MEGA


def _recorded(phases: list[str], peaks: list[int]) -> Recording:
    recording = Recording(Steps(peaks))
    recording.begin()
    for phase in phases:
        recording.enter(phase)
    recording.end()
    return recording


def test_a_step_has_its_phases() -> None:
    """Clipping between backward and step is the step's; modules called in backward begin no forward."""
    phases = [FORWARD, FORWARD, BACKWARD, FORWARD, AFTER, STEP, FORWARD]
    found = _recorded(phases, [10, 20, 40, 25, 30, 21])
    assert [
        ("load", 0, 10),
        (FORWARD, 1, 20),
        (BACKWARD, 1, 40),
        (STEP, 1, 25),
        (STEP, 1, 30),
        (FORWARD, 2, 21),
    ] == [(record.phase, record.step, record.allocated) for record in found.records]
    assert 30 == found.peak(STEP)
    assert None is found.peak("rollout")


def test_accumulation_is_one_step() -> None:
    """What follows a backward without a step still belongs to that backward, and the step's number stays."""
    found = _recorded([FORWARD, BACKWARD, AFTER, FORWARD, BACKWARD, AFTER, STEP], [1, 2, 3, 4, 5, 6, 7, 8])
    assert [0, 1, 1, 1, 1, 1, 1, 1] == [record.step for record in found.records]
    assert BACKWARD == found.records[3].phase


def test_by_torch_itself() -> None:
    """The hooks of torch tell the phases of a plain loop, and are all gone afterwards."""
    torch: Any = pytest.importorskip("torch", reason="torch is not installed")
    before = torch.autograd.backward
    model = torch.nn.Sequential(torch.nn.Linear(4, 4), torch.nn.Linear(4, 1))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    with Watch(RUN, meter=Steps([MEGA * (at + 1) for at in range(20)])) as watch:
        for _ in range(2):
            model(torch.ones(2, 4)).sum().backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            optimizer.zero_grad()
    assert ["load", FORWARD, BACKWARD, STEP, STEP, FORWARD, BACKWARD, STEP, STEP] == [
        one.phase for one in watch.records
    ]
    assert before is torch.autograd.backward
    count = len(watch.records)
    model(torch.ones(2, 4)).sum().backward()
    assert count == len(watch.records)


def test_an_error_takes_the_hooks_off() -> None:
    """Out of memory inside leaves torch as it was, and what was recorded stays."""
    torch: Any = pytest.importorskip("torch", reason="torch is not installed")
    before = torch.autograd.backward
    watch = Watch(None, meter=Steps([1, 2, 3]))
    model = torch.nn.Linear(2, 2)
    with pytest.raises(RuntimeError, match="shapes"), watch:
        model(torch.ones(1, 3))
    assert before is torch.autograd.backward
    assert ["load", FORWARD] == [record.phase for record in watch.records]


def test_without_cuda_it_says_so() -> None:
    """A CPU build records nothing, and shows the estimate alone."""
    torch: Any = pytest.importorskip("torch", reason="torch is not installed")
    if torch.cuda.is_available():
        pytest.skip("this machine has a GPU")
    with vramlint.watch(RUN) as watch:
        pass
    assert "there is no" in repr(watch)
    assert "CUDA" in repr(watch)
    assert "40.00 MB" in repr(watch)
    assert () == watch.records


def test_the_estimate_stands_beside(tmp_path: Path) -> None:
    """Text and chart have what was measured, what was estimated and the difference."""
    file = tmp_path / "report.json"
    file.write_text(json.dumps({"files": [{"runs": [RUN]}]}), encoding="utf-8")
    watch = Watch(file, meter=Steps([10 * MEGA, 20 * MEGA]))
    watch._recording = _recorded([FORWARD], [10 * MEGA, 20 * MEGA])
    watch.why_not = ""
    forward = next(line for line in repr(watch).splitlines() if line.startswith("forward"))
    assert ["forward,", "allocated", "20.00", "MB", "22.00", "MB", "+10.0", "%"] == forward.split()
    assert "<svg" in watch._repr_html_()
    assert "<script" not in watch._repr_html_()


def test_what_is_no_report_is_refused(tmp_path: Path) -> None:
    """One line says what to give instead."""
    with pytest.raises(TypeError, match="vramlint check --format json"):
        run_of(3, 0)
    with pytest.raises(ValueError, match="has 1, counted from 0"):
        run_of({"files": [{"runs": [RUN]}]}, 1)
    with pytest.raises(ValueError, match="no report"):
        run_of(tmp_path / "missing.json", 0)
    assert None is run_of(None, 0)


def test_charts_are_plain_svg() -> None:
    """The stacked parts never leave the picture; an empty course draws nothing."""
    moments = [Moment("forward", 1, {"weights": 5, "activations": size}) for size in (0, 10, 3)]
    drawn = course(moments, limit=12)
    assert 2 == drawn.count("<polygon")
    assert "the GPU has" in drawn
    assert "" == course([])
    assert "activations: up to" in course(moments[1:2])
    assert "&lt;b&gt;" in comparison([Pair("<b>", 1, None)])
