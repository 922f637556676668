"""The report as a person reads it: the verdict, what fills the memory, why, and what was assumed."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

from vramlint.render._page import EMPTY, Line, Piece, line, paint, wrapped
from vramlint.render._run import run_page
from vramlint.render._values import place_text
from vramlint.units import gigabytes

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from vramlint.render._page import Tone
    from vramlint.render.style import Style
    from vramlint.report import FileReport, Report
    from vramlint.rules.finding import Finding

_TONES: dict[str, Tone] = {"error": "bad", "warning": "doubt", "info": "accent", "hint": "faint"}


def render(report: Report, errors: Sequence[str], style: Style) -> str:
    """Return the page of a check; `errors` were already told on stderr."""
    return frame([piece(file, style) for file in report.files], errors, style)


def piece(file: FileReport, style: Style) -> dict[str, Any]:
    """Return the page of a file, and what the last line counts."""
    lines = list(_file(file, style))
    return {
        "page": paint(lines, style).rstrip("\n") if lines else None,
        "runs": len(file.runs),
        "severities": [finding.severity for finding in file.findings],
    }


def frame(pieces: Sequence[dict[str, Any]], errors: Sequence[str], style: Style) -> str:
    """Return the pages of all files, and the last line."""
    pages = [one["page"] for one in pieces if one["page"] is not None]
    return "\n\n".join([*pages, paint(list(_summary(pieces, errors)), style)])


def render_run(file: FileReport, style: Style) -> str:
    """Return the page of a plan's run and the findings on it."""
    return paint(_file(file, style), style).rstrip("\n")


def render_runs(files: Sequence[FileReport], style: Style) -> str:
    """Return the pages of several plans."""
    return "\n\n".join(render_run(file, style) for file in files)


def _file(file: FileReport, style: Style) -> Iterator[Line]:
    for subject in file.runs:
        yield from run_page(subject, style)
        yield EMPTY
    for finding in file.findings:
        yield from _finding(finding, style)
        yield EMPTY


def _finding(finding: Finding, style: Style) -> Iterator[Line]:
    severity = Piece(finding.severity, _TONES[finding.severity])
    yield line(severity, " ", Piece(finding.rule, "strong"), "  ", Piece(place_text(finding.span), "accent"))
    yield from wrapped(finding.message, style.width, "  ")
    for related in finding.related:
        yield line("    ", Piece(place_text(related.span), "accent"), "  ", related.message)
    for fix in finding.fixes:
        yield line("    ", Piece(f"saves {gigabytes(fix.saving)}", "good"), f"  {fix.title}")


def _summary(pieces: Sequence[dict[str, Any]], errors: Sequence[str]) -> Iterator[Line]:
    runs = sum(one["runs"] for one in pieces)
    severities = Counter(severity for one in pieces for severity in one["severities"])
    if not runs and not severities and not errors:
        yield line(f"{_many(len(pieces), 'file')}, no training or generation found.")
        return
    found = ", ".join(_many(number, severity) for severity, number in severities.items()) or "no findings"
    yield line(Piece(f"{_many(len(pieces), 'file')}, {_many(runs, 'run')}, {found}.", "faint"))


def _many(number: int, thing: str) -> str:
    plural = "" if number == 1 or thing == "info" else "s"
    return f"{number} {thing}{plural}"
