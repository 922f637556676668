"""Diagnostics: findings where they stand, answered where the client asks and pushed where it cannot."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lsprotocol import types

from vramlint_lsp.places import location, range_in

if TYPE_CHECKING:
    from collections.abc import Iterator

    from vramlint.rules.finding import Finding
    from vramlint.source.spans import Span
    from vramlint_lsp.buffers import Source, Text
    from vramlint_lsp.places import Host
    from vramlint_lsp.server import Server
    from vramlint_lsp.session import Analysis

_SEVERITIES = {
    "error": types.DiagnosticSeverity.Error,
    "warning": types.DiagnosticSeverity.Warning,
    "info": types.DiagnosticSeverity.Information,
    "hint": types.DiagnosticSeverity.Hint,
}
_PAGE = "https://github.com/vramlint/vramlint/blob/main/docs/rules.md"


def register(server: Server) -> None:
    """Register the answer to pull requests, and the pushing to clients that have none."""
    pushed: dict[str, set[str]] = {}

    @server.guarded(
        types.TEXT_DOCUMENT_DIAGNOSTIC,
        types.DiagnosticOptions(
            inter_file_dependencies=True, workspace_diagnostics=False, identifier="vramlint"
        ),
        types.RelatedFullDocumentDiagnosticReport(items=[]),
    )
    async def pull(params: types.DocumentDiagnosticParams) -> types.DocumentDiagnosticReport:
        found = await server.session.analysis(params.text_document.uri)
        items = [] if found is None else diagnostics(server, found, params.text_document.uri)
        return types.RelatedFullDocumentDiagnosticReport(items=items)

    def push(found: Analysis) -> None:
        if _pulls(server):
            return
        uris = {text.uri for text in found.source.texts if text.kind == "code"}
        for text in found.source.texts:
            if text.uri in uris:
                _publish(server, text.uri, text.version, diagnostics(server, found, text.uri))
        for gone in pushed.get(found.source.uri, set()) - uris:
            _publish(server, gone, None, [])
        pushed[found.source.uri] = uris

    def clear(uri: str) -> None:
        for gone in pushed.pop(uri, set()):
            _publish(server, gone, None, [])

    server.on_done.append(push)
    server.on_closed.append(clear)


def _pulls(server: Server) -> bool:
    text = server.client_capabilities.text_document
    return text is not None and text.diagnostic is not None


def _publish(server: Server, uri: str, version: int | None, items: list[types.Diagnostic]) -> None:
    server.text_document_publish_diagnostics(
        types.PublishDiagnosticsParams(uri=uri, version=version, diagnostics=items)
    )


def diagnostics(server: Server, found: Analysis, uri: str) -> list[types.Diagnostic]:
    """Return the diagnostics of one text: a script's, or those of one cell."""
    if not server.configuration.switches(found.source.path).diagnostics:
        return []
    return shown(server, found, uri)


def shown(server: Host, found: Analysis, uri: str) -> list[types.Diagnostic]:
    """Return the diagnostics of one text, whatever its switches say."""
    text = found.source.text_at(uri)
    if text is None:
        return []
    return [
        diagnostic(server, found, finding, text)
        for finding in found.report.findings
        if _home(found, finding) is text
    ]


def _placed(found: Analysis, finding: Finding) -> tuple[Text, Span] | None:
    """Return where a finding is shown: in its place, at its run where it stands in another file, else nowhere."""
    placed = found.source.placed(finding.span)
    if placed is None and finding.run is not None:
        return found.source.placed(found.report.runs[finding.run].run.span)
    return placed


def _home(found: Analysis, finding: Finding) -> Text | None:
    placed = _placed(found, finding)
    return found.source.first if placed is None else placed[0]


def diagnostic(server: Host, found: Analysis, finding: Finding, text: Text) -> types.Diagnostic:
    """Return a finding as the editor shows it; what stands in other files becomes related information."""
    return types.Diagnostic(
        range=_range(server, found, finding, text),
        severity=_SEVERITIES[finding.severity],
        code=finding.rule,
        code_description=types.CodeDescription(href=f"{_PAGE}#{finding.rule}"),
        source="vramlint",
        message=finding.message,
        related_information=list(_related(server, found.source, finding)) or None,
        data={"rule": finding.rule, "run": finding.run},
    )


def _range(server: Host, found: Analysis, finding: Finding, text: Text) -> types.Range:
    placed = _placed(found, finding)
    if placed is not None:
        return range_in(text, placed[1], server.session.buffers.encoding)
    return types.Range(start=types.Position(line=0, character=0), end=types.Position(line=0, character=0))


def _related(server: Host, source: Source, finding: Finding) -> Iterator[types.DiagnosticRelatedInformation]:
    places = [(related.span, related.message) for related in finding.related]
    if finding.span.path != source.path:
        places.insert(0, (finding.span, "it stands here"))
    for span, message in places:
        place = location(server, source, span)
        if place is not None:
            yield types.DiagnosticRelatedInformation(location=place, message=message)
