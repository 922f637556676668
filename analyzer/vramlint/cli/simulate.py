"""simulate a plan or a script's runs: their real model trains on tensors without data, no GPU needed."""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from vramlint.cli import inputs, options, output
from vramlint.cli.check import check_file
from vramlint.cli.estimate import plan_report, read_plans
from vramlint.cli.usage import UsageError
from vramlint.cli.workspace import Workspace, workspace
from vramlint.memory.engine import CannotEstimate, estimate

if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace
    from collections.abc import Iterator

    from vramlint.knowledge.gpu import Gpu
    from vramlint.memory.estimate import Estimate
    from vramlint.plan.document import Plan
    from vramlint.render._page import Line
    from vramlint.simulate.compare import Comparison
    from vramlint.simulate.result import Simulation

_FORMATS = ("text", "json")
_NOTHING = 2


@dataclass(frozen=True, slots=True)
class _Run:
    """One training run of a file: its plan, or the reason why it has none; `place` is for people."""

    path: str
    line: int
    plan: Plan | None
    why_not: str | None
    gpu: Gpu | None

    @property
    def place(self) -> str:
        return f"{self.path}:{self.line}" if self.line > 1 else self.path


@dataclass(frozen=True, slots=True)
class _Answer:
    """A run with its simulation, or with the reason why there is none."""

    run: _Run
    simulation: Simulation | None = None
    estimate: Estimate | None = None
    comparison: Comparison | None = None
    reason: str | None = None


def add_arguments(parser: ArgumentParser) -> None:
    """Describe the command line of `vramlint simulate`."""
    parser.add_argument(
        "file", metavar="FILE|PLAN.json", help="a script, a notebook, or a plan document (- is stdin)"
    )
    parser.add_argument(
        "--steps", metavar="N", type=int, default=3, help="training steps to run (default: 3)"
    )
    parser.add_argument(
        "--timeline", metavar="FILE", help="write the memory over time to a file, .html or .png"
    )
    parser.add_argument("--format", metavar="FORMAT", default="text", help="text (default) or json")
    options.add_run_options(parser)
    options.add_script_options(parser)


def run(arguments: Namespace) -> int:
    """Simulate every training run of a file; 2 where none could be."""
    if arguments.format not in _FORMATS:
        raise UsageError(f"unknown format {arguments.format!r}: a simulation is printed as text or json")
    if arguments.steps < 1:
        raise UsageError("--steps: at least one step has to run")
    _check_timeline(arguments.timeline)
    runs = list(_runs(arguments))
    if not runs:
        raise UsageError(f"{arguments.file}: no training or generation found")
    answers = [_answer(one, arguments.steps) for one in runs]
    _write_timelines(answers, arguments.timeline)
    if arguments.format == "json":
        output.say(_json(answers))
    else:
        _tell(answers)
    return 0 if any(answer.simulation for answer in answers) else _NOTHING


def _check_timeline(path: str | None) -> None:
    if path is None:
        return
    if Path(path).suffix.lower() not in {".html", ".htm", ".png"}:
        raise UsageError(f"--timeline {path}: a timeline is written as .html or .png")
    if not Path(path).absolute().parent.is_dir():
        raise UsageError(f"--timeline {path}: no such folder")


def _runs(arguments: Namespace) -> Iterator[_Run]:
    place = workspace(arguments)
    if arguments.file.endswith(".json") or arguments.file == inputs.STDIN:
        yield from _plans(arguments, place)
        return
    found, errors = inputs.files([arguments.file])
    if errors or len(found) != 1:
        raise UsageError(errors[0] if errors else f"{arguments.file}: is a folder; name one file")
    for subject in check_file(found[0], place.settings(found[0])).runs:
        plan = subject.plans[0] if subject.plans else None
        yield _Run(found[0], subject.run.span.start.line, plan, subject.why_not, subject.gpu)


def _plans(arguments: Namespace, place: Workspace) -> Iterator[_Run]:
    overrides = options.parse_overrides(arguments.overrides)
    for data in read_plans(arguments.file):
        for one in data if isinstance(data, list) else [data]:
            (subject,) = plan_report(one, arguments.file, overrides, place).runs
            yield _Run(arguments.file, 1, subject.plans[0], None, subject.gpu)


def _answer(run: _Run, steps: int) -> _Answer:
    if run.plan is None:
        return _Answer(run, reason=run.why_not or "its settings are not known well enough")
    from vramlint.simulate.compare import compare  # noqa: PLC0415
    from vramlint.simulate.errors import CannotSimulate  # noqa: PLC0415
    from vramlint.simulate.run import simulate  # noqa: PLC0415

    kernels: Literal["cuda", "reference"] = "reference" if run.gpu is None else "cuda"
    try:
        simulation = simulate(run.plan, steps, kernels, _progress(run.place))
    except CannotSimulate as reason:
        return _Answer(run, reason=str(reason))
    finally:
        _progress(run.place)("")
    try:
        expected = estimate(run.plan, run.gpu)
    except CannotEstimate:
        return _Answer(run, simulation)
    return _Answer(run, simulation, expected, compare(simulation, expected))


def _progress(place: str) -> Any:
    """Return what shows how far a run is: a line on stderr, where that is a terminal."""

    def show(what: str) -> None:
        if sys.stderr.isatty():
            sys.stderr.write(f"\r\x1b[K{place}: {what}" if what else "\r\x1b[K")
            sys.stderr.flush()

    return show


def _write_timelines(answers: list[_Answer], path: str | None) -> None:
    """Write the timeline of each run; a second one gets its line in the file's name."""
    simulated = [answer for answer in answers if answer.simulation is not None]
    if path is None:
        return
    from vramlint.simulate.chart import write_chart  # noqa: PLC0415
    from vramlint.simulate.errors import CannotSimulate  # noqa: PLC0415

    for number, answer in enumerate(simulated):
        target = Path(path) if number == 0 else Path(path).with_stem(f"{Path(path).stem}-{number + 1}")
        assert answer.simulation is not None
        try:
            write_chart(answer.simulation, f"vramlint simulate {answer.run.place}", str(target))
        except (CannotSimulate, OSError) as error:
            raise UsageError(f"--timeline {target}: {error}") from None


def _tell(answers: list[_Answer]) -> None:
    from vramlint.render._page import EMPTY, Piece, line, paint  # noqa: PLC0415
    from vramlint.simulate.page import page  # noqa: PLC0415

    style = output.style()
    lines: list[Line] = []
    for answer in answers:
        if answer.simulation is None:
            output.complain(f"{answer.run.place}: {answer.reason}")
            continue
        lines += [EMPTY] if lines else []
        lines.append(line(Piece(answer.run.place, "accent")))
        lines += page(answer.simulation, answer.estimate, answer.comparison, style.width)
    if lines:
        output.say(paint(lines, style))


def _json(answers: list[_Answer]) -> str:
    from vramlint.render.json import document as envelope  # noqa: PLC0415
    from vramlint.simulate.document import document  # noqa: PLC0415

    runs = [
        {
            "path": answer.run.path,
            "line": answer.run.line,
            "reason": answer.reason,
            "simulation": None
            if answer.simulation is None
            else document(answer.simulation, answer.estimate, answer.comparison),
        }
        for answer in answers
    ]
    reasons = [f"{answer.run.place}: {answer.reason}" for answer in answers if answer.reason]
    return json.dumps(envelope(reasons) | {"runs": runs}, indent=2)
