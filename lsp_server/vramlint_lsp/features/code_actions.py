"""Code actions: edits that save memory, with the saving in the title, and comments that silence a finding."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lsprotocol import types

from vramlint.source.spans import Position
from vramlint.units import gigabytes
from vramlint_lsp.causes import readings
from vramlint_lsp.convert import to_position
from vramlint_lsp.features.diagnostics import diagnostics
from vramlint_lsp.mending import all_safe, offered
from vramlint_lsp.places import is_in, range_in

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from vramlint.rules.finding import Edit
    from vramlint_lsp.buffers import Text
    from vramlint_lsp.mending import Offer
    from vramlint_lsp.server import Server
    from vramlint_lsp.session import Analysis

FIX_ALL = "source.fixAll.vramlint"
_KINDS = [types.CodeActionKind.QuickFix, types.CodeActionKind.RefactorRewrite, FIX_ALL]


def register(server: Server) -> None:
    """Register the actions."""
    known: dict[str, tuple[Analysis, dict[int, tuple[Offer, ...]]]] = {}

    @server.guarded(
        types.TEXT_DOCUMENT_CODE_ACTION, types.CodeActionOptions(code_action_kinds=_KINDS), default=[]
    )
    async def code_action(params: types.CodeActionParams) -> list[types.CodeAction]:
        uri, only = params.text_document.uri, params.context.only
        found = await server.session.analysis(uri)
        text = found.source.text_at(uri) if found is not None else None
        if found is None or text is None:
            return []
        if only and all(str(getattr(kind, "value", kind)).startswith("source") for kind in only):
            return await _fix_all(server, found, only)
        actions = [*_ignores(server, found, text, params.range)]
        for run, whole in _runs(found, text, params.range).items():
            offers = await _offers(server, found, run, known)
            here = offers if whole else _touching(offers, text, params.range)
            actions += _actions(server, found, text, params.range, here)
        return actions

    def clear(uri: str) -> None:
        known.pop(uri, None)

    server.on_closed.append(clear)


async def _offers(
    server: Server,
    found: Analysis,
    run: int,
    known: dict[str, tuple[Analysis, dict[int, tuple[Offer, ...]]]],
) -> tuple[Offer, ...]:
    """Return what helps a run; it is worked out once for each state of a document."""
    uri = found.source.uri
    if uri not in known or known[uri][0].source is not found.source:
        known[uri] = (found, {})
    offers = known[uri][1]
    if run not in offers:
        files = server.session.files()

        def is_stale() -> bool:
            return server.session.buffers.sources.get(uri) is not found.source

        made = await server.session.work(lambda: offered(found, run, files, is_stale))
        if is_stale():
            return ()
        offers[run] = made
    return offers[run]


def _runs(found: Analysis, text: Text, at: types.Range) -> dict[int, bool]:
    """Return the runs that a range has to do with; True where it is the training call or a finding of it."""
    lines = range(at.start.line + 1, at.end.line + 2)
    runs: dict[int, bool] = {}
    for index, subject in enumerate(found.report.runs):
        spans = [one.span for one in found.report.findings if one.run == index]
        if any(
            is_in(one, found.source, text) and one.start.line in lines for one in (subject.run.span, *spans)
        ):
            runs[index] = True
        elif any(
            is_in(span := one.origin.span, found.source, text)
            and span is not None
            and span.start.line in lines
            for one in readings(subject)
        ):
            runs[index] = False
    return runs


def _touching(offers: Sequence[Offer], text: Text, at: types.Range) -> list[Offer]:
    lines = range(at.start.line + 1, at.end.line + 2)
    return [
        offer
        for offer in offers
        if any(edit.span.cell == text.cell and edit.span.start.line in lines for edit in offer.fix.edits)
    ]


def _actions(
    server: Server, found: Analysis, text: Text, at: types.Range, offers: Sequence[Offer]
) -> Iterator[types.CodeAction]:
    lines = range(at.start.line, at.end.line + 1)
    shown = [one for one in diagnostics(server, found, text.uri) if one.range.start.line in lines]
    preferred = next((one for one in offers if one.fits and one.fix.safety == "safe"), None)
    for offer in offers:
        if not offer.fix.edits and not _shows_disabled(server):
            continue
        edits = offer.fix.edits
        yield types.CodeAction(
            title=title(offer),
            kind=types.CodeActionKind.QuickFix if shown else types.CodeActionKind.RefactorRewrite,
            diagnostics=shown or None,
            is_preferred=offer is preferred or None,
            edit=_workspace_edit(server, found, edits) if edits else None,
            disabled=None
            if edits
            else types.CodeActionDisabled(reason="advice only: it is not written by itself"),
        )


def title(offer: Offer) -> str:
    """Return such as `Use 8-bit AdamW: -22.9 GB, fits`, marked where it is not safe."""
    fits = ", fits" if offer.fits else ""
    unsafe = " (unsafe)" if offer.fix.safety == "unsafe" else ""
    return f"{offer.title}: \N{MINUS SIGN}{gigabytes(offer.fix.saving)}{fits}{unsafe}"


def _shows_disabled(server: Server) -> bool:
    text = server.client_capabilities.text_document
    action = text.code_action if text is not None else None
    return action is not None and bool(action.disabled_support)


def _workspace_edit(server: Server, found: Analysis, edits: Sequence[Edit]) -> types.WorkspaceEdit:
    """Return edits of the document with the versions that they are for."""
    by_text: dict[str, list[types.TextEdit]] = {}
    versions: dict[str, int] = {}
    encoding = server.session.buffers.encoding
    for edit in edits:
        text = found.source.text(edit.span.cell)
        if text is None:
            continue
        new = edit.text.replace("\n", "\r\n") if "\r\n" in text.text else edit.text
        by_text.setdefault(text.uri, []).append(
            types.TextEdit(range=range_in(text, edit.span, encoding), new_text=new)
        )
        versions[text.uri] = text.version
    workspace = server.client_capabilities.workspace
    changes = workspace.workspace_edit if workspace is not None else None
    if changes is None or not changes.document_changes:
        return types.WorkspaceEdit(changes=by_text)
    return types.WorkspaceEdit(
        document_changes=[
            types.TextDocumentEdit(
                text_document=types.OptionalVersionedTextDocumentIdentifier(uri=uri, version=versions[uri]),
                edits=list(some),
            )
            for uri, some in by_text.items()
        ]
    )


async def _fix_all(
    server: Server, found: Analysis, only: Sequence[types.CodeActionKind | str]
) -> list[types.CodeAction]:
    kinds = [str(getattr(kind, "value", kind)) for kind in only]
    if not any(kind == FIX_ALL or FIX_ALL.startswith(f"{kind}.") for kind in kinds):
        return []
    files = server.session.files()
    edits = await server.session.work(lambda: all_safe(found, files))
    if not edits:
        return []
    edit = _workspace_edit(server, found, edits)
    return [types.CodeAction(title="vramlint: apply all safe fixes", kind=FIX_ALL, edit=edit)]


def _ignores(server: Server, found: Analysis, text: Text, at: types.Range) -> Iterator[types.CodeAction]:
    """Yield for each finding on these lines a comment that silences it."""
    for one in diagnostics(server, found, text.uri):
        line = one.range.end.line
        if not at.start.line <= one.range.start.line <= at.end.line or text.language != "python":
            continue
        content = text.lines[line]
        if "#" in content:
            continue
        place = Position(line + 1, len(content))
        end = to_position(place, text.lines, server.session.buffers.encoding)
        edit = types.TextEdit(
            range=types.Range(start=end, end=end), new_text=f"  # vramlint: ignore[{one.code}]"
        )
        yield types.CodeAction(
            title=f"Silence {one.code} on this line",
            kind=types.CodeActionKind.QuickFix,
            diagnostics=[one],
            edit=types.WorkspaceEdit(changes={text.uri: [edit]}),
        )
