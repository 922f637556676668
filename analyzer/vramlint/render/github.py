"""Workflow commands of GitHub Actions: each finding is an annotation on its line.

Escaped as `@actions/core` does (packages/core/src/command.ts), and printed in its order of properties.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from vramlint.render._findings import clean_path, long_message
from vramlint.render._sources import Sources

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from vramlint.render.style import Style
    from vramlint.report import FileReport, Report
    from vramlint.rules.finding import Finding

WANTS_SOURCES = True
_COMMANDS = {"error": "error", "warning": "warning", "info": "notice", "hint": "notice"}


def render(report: Report, errors: Sequence[str], style: Style) -> str:
    """Return a line for each error and each finding."""
    return frame([piece(file, style) for file in report.files], errors, style)


def piece(file: FileReport, _: Style) -> list[str]:
    """Return the lines of one file."""
    sources = Sources(file.sources)
    return [_line(finding, sources) for finding in file.findings]


def frame(pieces: Sequence[Sequence[str]], errors: Sequence[str], _: Style) -> str:
    """Join the lines of all files."""
    complaints = (command("error", {"title": "vramlint"}, error) for error in errors)
    return "\n".join([*complaints, *(line for lines in pieces for line in lines)])


def command(name: str, properties: Mapping[str, object], text: str) -> str:
    """Return one workflow command."""
    told = ",".join(f"{key}={_property(str(value))}" for key, value in properties.items())
    return f"::{name} {told}::{_data(text)}"


def _line(finding: Finding, sources: Sources) -> str:
    properties = {"title": f"vramlint: {finding.rule}", "file": clean_path(finding.span.path)}
    places = dict(_places(finding, sources))
    return command(_COMMANDS[finding.severity], properties | places, long_message(finding))


def _places(finding: Finding, sources: Sources) -> Iterator[tuple[str, object]]:
    """Yield the place; columns are allowed only where it is within one line."""
    region = sources.region(finding.span)
    yield "line", region.line
    yield "endLine", region.end_line
    if region.line == region.end_line:
        yield "col", region.column
        yield "endColumn", region.end_column


def _data(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    return _data(text).replace(":", "%3A").replace(",", "%2C")
