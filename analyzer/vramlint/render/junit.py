"""JUnit's XML: a suite for each file, a failed case for each error or warning, one that passes where there is none.

Elements: https://github.com/testmoapp/junitxml (the format has no standard).
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any
from xml.sax.saxutils import escape, quoteattr

from vramlint.render._findings import clean_path, long_message, message
from vramlint.render._sources import Sources

if TYPE_CHECKING:
    from collections.abc import Sequence

    from vramlint.render.style import Style
    from vramlint.report import FileReport, Report
    from vramlint.rules.finding import Finding

WANTS_SOURCES = True
# XML 1.0 has no way to write these.
_FORBIDDEN = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff\ufffe\uffff]")


def render(report: Report, errors: Sequence[str], style: Style) -> str:
    """Return the document."""
    return frame([piece(file, style) for file in report.files], errors, style)


def piece(file: FileReport, _: Style) -> dict[str, Any]:
    """Return the suite of one file, and how many cases and failures it has."""
    sources = Sources(file.sources)
    failed = [finding for finding in file.findings if finding.severity in {"error", "warning"}]
    name = _quoted(clean_path(file.path))
    cases = [_case(finding, sources, name) for finding in failed]
    cases = cases or [f'    <testcase name="memory" classname={name} file={name}/>']
    head = f'  <testsuite name={name} tests="{len(cases)}" failures="{len(failed)}">'
    return {"xml": "\n".join([head, *cases, "  </testsuite>"]), "tests": len(cases), "failures": len(failed)}


def frame(pieces: Sequence[dict[str, Any]], errors: Sequence[str], _: Style) -> str:
    """Join the suites of all files; an error is a suite of its own."""
    tests = sum(piece["tests"] for piece in pieces) + len(errors)
    failures = sum(piece["failures"] for piece in pieces)
    head = f'<testsuites name="vramlint" tests="{tests}" failures="{failures}" errors="{len(errors)}">'
    suites = [piece["xml"] for piece in pieces]
    return "\n".join(
        ['<?xml version="1.0" encoding="UTF-8"?>', head, *map(_error, errors), *suites, "</testsuites>"]
    )


def _case(finding: Finding, sources: Sources, name: str) -> str:
    region = sources.region(finding.span)
    place = f"name={_quoted(f'{finding.rule}:{region.line}:{region.column}')} classname={name}"
    told = f"type={_quoted(finding.severity)} message={_quoted(message(finding))}"
    return (
        f'    <testcase {place} file={name} line="{region.line}">\n'
        f"      <failure {told}>{escape(_allowed(long_message(finding)))}</failure>\n"
        f"    </testcase>"
    )


def _error(error: str) -> str:
    return (
        '  <testsuite name="vramlint" tests="1" errors="1"><testcase name="usage" classname="vramlint">'
        f"<error message={_quoted(error)}/></testcase></testsuite>"
    )


def _quoted(text: str) -> str:
    return quoteattr(_allowed(text))


def _allowed(text: str) -> str:
    return _FORBIDDEN.sub("\N{REPLACEMENT CHARACTER}", text)
