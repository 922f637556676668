"""Reviewdog's diagnostic format as one JSON document; columns count bytes of UTF-8, from 1.

Fields: https://github.com/reviewdog/reviewdog/blob/master/proto/rdf/reviewdog.proto
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from vramlint.render._findings import HOME, clean_path, long_message, rule_page
from vramlint.render._sources import Sources, in_notebook

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from vramlint.render.style import Style
    from vramlint.report import FileReport, Report
    from vramlint.rules.finding import Edit, Finding
    from vramlint.source.spans import Span

WANTS_SOURCES = True
_SEVERITIES = {"error": "ERROR", "warning": "WARNING", "info": "INFO", "hint": "INFO"}


def render(report: Report, errors: Sequence[str], style: Style) -> str:
    """Return the document."""
    return frame([piece(file, style) for file in report.files], errors, style)


def piece(file: FileReport, _: Style) -> list[dict[str, Any]]:
    """Return the diagnostics of one file."""
    sources = Sources(file.sources)
    return [_diagnostic(finding, sources) for finding in file.findings]


def frame(pieces: Sequence[Sequence[Any]], _errors: Sequence[str], _: Style) -> str:
    """Join the diagnostics of all files; the format has no place for errors, which stand on stderr."""
    diagnostics = [diagnostic for diagnostics in pieces for diagnostic in diagnostics]
    whole = {"source": {"name": "vramlint", "url": HOME}, "diagnostics": diagnostics}
    return json.dumps(whole, ensure_ascii=False, indent=2)


def _diagnostic(finding: Finding, sources: Sources) -> dict[str, Any]:
    return {
        "message": long_message(finding),
        "location": {"path": clean_path(finding.span.path), "range": _range(finding.span, sources)},
        "severity": _SEVERITIES[finding.severity],
        "code": {"value": finding.rule, "url": rule_page(finding.rule)},
        "suggestions": list(_suggestions(finding, sources)),
    }


def _suggestions(finding: Finding, sources: Sources) -> Iterator[dict[str, Any]]:
    """Yield the fixes of one edit: each suggestion is taken by itself, and half a fix would break the script."""
    for fix in finding.fixes:
        if len(fix.edits) == 1 and fix.edits[0].span.path == finding.span.path:
            yield {"range": _range(fix.edits[0].span, sources), "text": _text(fix.edits[0])}


def _text(edit: Edit) -> str:
    return edit.text if edit.span.cell is None else in_notebook(edit.text)


def _range(span: Span, sources: Sources) -> dict[str, Any]:
    region = sources.utf8(span)
    return {
        "start": {"line": region.line, "column": region.column},
        "end": {"line": region.end_line, "column": region.end_column},
    }
