"""SARIF 2.1.0, for code scanning: rules with their help, results with fixes and fingerprints.

Specification: https://docs.oasis-open.org/sarif/sarif/v2.1.0/sarif-v2.1.0.html
"""

from __future__ import annotations

import json
from itertools import groupby
from typing import TYPE_CHECKING, Any

from vramlint import __version__
from vramlint.render._findings import HOME, message, rule_page, uri
from vramlint.render._sources import Sources, fingerprints, in_notebook
from vramlint.rules.catalogue import rules
from vramlint.units import gigabytes

if TYPE_CHECKING:
    from collections.abc import Sequence
    from types import ModuleType

    from vramlint.render.style import Style
    from vramlint.report import FileReport, Report
    from vramlint.rules.finding import Edit, Finding, Fix, Related
    from vramlint.source.spans import Span

WANTS_SOURCES = True
SCHEMA = "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json"
_LEVELS = {"error": "error", "warning": "warning", "info": "note", "hint": "note"}


def render(report: Report, errors: Sequence[str], style: Style) -> str:
    """Return the log of one run of the tool."""
    return frame([piece(file, style) for file in report.files], errors, style)


def piece(file: FileReport, _: Style) -> list[dict[str, Any]]:
    """Return the results of one file."""
    sources = Sources(file.sources)
    return [_result(finding, name, sources) for finding, name in fingerprints(file, sources)]


def frame(pieces: Sequence[Sequence[Any]], errors: Sequence[str], _: Style) -> str:
    """Return the log around the results of all files."""
    names = list(rules())
    results = [result | {"ruleIndex": names.index(result["ruleId"])} for part in pieces for result in part]
    notices = [{"level": "error", "message": {"text": error}} for error in errors]
    run = {
        "tool": {"driver": _driver()},
        "invocations": [{"executionSuccessful": not errors, "toolConfigurationNotifications": notices}],
        "columnKind": "unicodeCodePoints",
        "originalUriBaseIds": {"SRCROOT": {"description": {"text": "The folder that was checked from."}}},
        "results": results,
    }
    whole = {"$schema": SCHEMA, "version": "2.1.0", "runs": [run]}
    return json.dumps(whole, ensure_ascii=False, indent=2)


def _driver() -> dict[str, Any]:
    return {
        "name": "vramlint",
        "semanticVersion": __version__,
        "informationUri": HOME,
        "rules": [_rule(name, rule) for name, rule in rules().items()],
    }


def _rule(name: str, rule: ModuleType) -> dict[str, Any]:
    text = (rule.__doc__ or "").strip()
    title = text.split("\n", maxsplit=1)[0]
    return {
        "id": name,
        "name": "".join(word.capitalize() for word in name.split("-")),
        "shortDescription": {"text": title},
        "fullDescription": {"text": title},
        "help": {"text": text, "markdown": text},
        "helpUri": rule_page(name),
        "properties": {"tags": ["gpu-memory"]},
    }


def _result(finding: Finding, fingerprint: str, sources: Sources) -> dict[str, Any]:
    result: dict[str, Any] = {
        "ruleId": finding.rule,
        "level": _LEVELS[finding.severity],
        "message": {"text": message(finding)},
        "locations": [_location(finding.span, sources)],
        "partialFingerprints": {"vramlintLine/v1": fingerprint},
        "properties": {"confidence": finding.confidence, "severity": finding.severity},
    }
    if finding.related:
        result["relatedLocations"] = [
            _related(number, related, sources) for number, related in enumerate(finding.related, 1)
        ]
    fixes = [_fix(fix, sources) for fix in finding.fixes if fix.edits]
    return result | ({"fixes": fixes} if fixes else {})


def _related(number: int, related: Related, sources: Sources) -> dict[str, Any]:
    return {"id": number, "message": {"text": related.message}, **_location(related.span, sources)}


def _location(span: Span, sources: Sources) -> dict[str, Any]:
    region = _region(span, sources)
    snippet = sources.snippet(span)
    shown = {"snippet": {"text": snippet}} if snippet and span.cell is None else {}
    return {"physicalLocation": {"artifactLocation": _artifact(span.path), "region": region | shown}}


def _artifact(path: str) -> dict[str, Any]:
    address = uri(path)
    return {"uri": address} if address.startswith("file:") else {"uri": address, "uriBaseId": "SRCROOT"}


def _region(span: Span, sources: Sources) -> dict[str, int]:
    region = sources.region(span)
    return {
        "startLine": region.line,
        "startColumn": region.column,
        "endLine": region.end_line,
        "endColumn": region.end_column,
    }


def _fix(fix: Fix, sources: Sources) -> dict[str, Any]:
    edits = sorted(fix.edits, key=lambda edit: edit.span.path)
    changes = [
        {
            "artifactLocation": _artifact(path),
            "replacements": [_replacement(edit, sources) for edit in same],
        }
        for path, same in groupby(edits, key=lambda edit: edit.span.path)
    ]
    title = f"{fix.title} (saves {gigabytes(fix.saving)})"
    return {"description": {"text": title}, "artifactChanges": changes}


def _replacement(edit: Edit, sources: Sources) -> dict[str, Any]:
    text = edit.text if edit.span.cell is None else in_notebook(edit.text)
    return {"deletedRegion": _region(edit.span, sources), "insertedContent": {"text": text}}
