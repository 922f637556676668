"""A plugin for python-lsp-server, for editors that start one server for each language, as JupyterLab does."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pylsp import hookimpl

from vramlint.pipeline import analyze
from vramlint.source.filesystem import FileSystem
from vramlint_lsp.buffers import Source, Text
from vramlint_lsp.configuration import Configuration
from vramlint_lsp.convert import DEFAULT, to_range

if TYPE_CHECKING:
    from vramlint.rules.finding import Finding

_SEVERITIES = {"error": 1, "warning": 2, "info": 3, "hint": 4}


@hookimpl  # type: ignore[untyped-decorator]
def pylsp_settings() -> dict[str, Any]:
    """Return the defaults of the plugin: on."""
    return {"plugins": {"vramlint": {"enabled": True}}}


@hookimpl  # type: ignore[untyped-decorator]
def pylsp_lint(document: Any) -> list[dict[str, Any]]:
    """Return the findings of a document; options come from the project, the person and the machine."""
    text = Text(document.uri, "python", document.version or 0, document.source)
    source = Source(document.uri, (text,), 1)
    settings = Configuration(lambda _: None).settings(source.path)
    read, issues = source.read()
    report = analyze(read, settings, FileSystem(), issues)
    return [_diagnostic(one, text) for one in report.findings if one.span.path == source.path]


def _diagnostic(finding: Finding, text: Text) -> dict[str, Any]:
    place = to_range(finding.span, text.lines, DEFAULT)
    return {
        "source": "vramlint",
        "code": finding.rule,
        "severity": _SEVERITIES[finding.severity],
        "message": finding.message,
        "range": {
            "start": {"line": place.start.line, "character": place.start.character},
            "end": {"line": place.end.line, "character": place.end.character},
        },
    }
