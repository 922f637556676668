"""explain a run at length, every term with its formula and cause; or what one line (FILE:LINE) causes."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

from vramlint.cli import inputs, options, output
from vramlint.cli.check import check_file
from vramlint.cli.usage import UsageError
from vramlint.cli.workspace import workspace
from vramlint.render import _explain
from vramlint.source.spans import Position, Span

if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace

    from vramlint.report import FileReport

_PLACE = re.compile(r"(?P<path>.+?)(?::(?P<cell>\d+))?:(?P<line>\d+)")


def add_arguments(parser: ArgumentParser) -> None:
    """Describe the command line of `vramlint explain`."""
    parser.add_argument(
        "place", metavar="FILE[:LINE]", help="a file, or a line of it (FILE:CELL:LINE in a notebook)"
    )
    options.add_run_options(parser)
    options.add_script_options(parser)


def run(arguments: Namespace) -> int:
    """Print the story of each run of a file, or of one line."""
    path, place = _place(arguments.place)
    if Path(path).is_dir():
        raise UsageError(f"{path}: is a folder")
    found, errors = inputs.files([path])
    if errors:
        raise UsageError(errors[0])
    (file,) = found
    report = check_file(file, workspace(arguments).settings(file))
    if place is not None:
        output.say(_explain.line_story(report.runs, place, output.style()))
        return 0
    return _tell(report)


def _tell(report: FileReport) -> int:
    style = output.style()
    for finding in report.findings:
        if finding.run is None:
            output.complain(f"{finding.rule}: {finding.message}")
    if not report.runs:
        output.say(f"{report.path}: no training or generation found.")
    stories = [_explain.story(subject, style) for subject in report.runs]
    if stories:
        output.say("\n\n".join(stories))
    return 0


def _place(text: str) -> tuple[str, Span | None]:
    """Split `FILE:LINE` and `FILE:CELL:LINE`; a file of that very name comes first."""
    match = _PLACE.fullmatch(text)
    if Path(text).exists() or match is None:
        return text, None
    path, line = match["path"], int(match["line"])
    cell = int(match["cell"]) if match["cell"] else None
    return path, Span(path, Position(line, 0), Position(line, 0), cell)
