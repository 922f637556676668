"""GitLab's Code Quality report: a list of issues that a merge request shows.

Fields: https://docs.gitlab.com/ci/testing/code_quality/#code-quality-report-format
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from vramlint.render._findings import clean_path, message
from vramlint.render._sources import Sources, fingerprints

if TYPE_CHECKING:
    from collections.abc import Sequence

    from vramlint.render.style import Style
    from vramlint.report import FileReport, Report

WANTS_SOURCES = True
_SEVERITIES = {"error": "critical", "warning": "major", "info": "minor", "hint": "info"}


def render(report: Report, errors: Sequence[str], style: Style) -> str:
    """Return the list of issues."""
    return frame([piece(file, style) for file in report.files], errors, style)


def piece(file: FileReport, _: Style) -> list[dict[str, Any]]:
    """Return the issues of one file."""
    sources = Sources(file.sources)
    return [
        {
            "description": message(finding),
            "check_name": finding.rule,
            "fingerprint": fingerprint,
            "severity": _SEVERITIES[finding.severity],
            "location": {
                "path": clean_path(finding.span.path),
                "lines": {"begin": (region := sources.region(finding.span)).line, "end": region.end_line},
            },
        }
        for finding, fingerprint in fingerprints(file, sources)
    ]


def frame(pieces: Sequence[Sequence[Any]], _errors: Sequence[str], _: Style) -> str:
    """Join the issues of all files; the format has no place for errors, which stand on stderr."""
    return json.dumps([issue for issues in pieces for issue in issues], ensure_ascii=False, indent=2)
