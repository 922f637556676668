"""Inlay hints: behind each line the bytes that it causes at the worst moment."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lsprotocol import types

from vramlint.units import gigabytes
from vramlint_lsp.causes import owned
from vramlint_lsp.places import is_in

if TYPE_CHECKING:
    from vramlint.memory.ledger import Term
    from vramlint_lsp.buffers import Text
    from vramlint_lsp.server import Server
    from vramlint_lsp.session import Analysis

_LEAST = 1_000_000
"""Bytes below which a line is not worth a hint."""


def register(server: Server) -> None:
    """Register the hints, and their renewal when other files or settings change."""

    @server.guarded(types.TEXT_DOCUMENT_INLAY_HINT, default=[])
    async def inlay_hint(params: types.InlayHintParams) -> list[types.InlayHint]:
        uri = params.text_document.uri
        found = await server.session.analysis(uri)
        text = found.source.text_at(uri) if found is not None else None
        if found is None or text is None or not server.configuration.switches(found.source.path).inlay_hints:
            return []
        lines = range(params.range.start.line, params.range.end.line + 1)
        return [_hint(server, text, line, terms) for line, terms in _by_line(found, text) if line in lines]


def _by_line(found: Analysis, text: Text) -> list[tuple[int, tuple[Term, ...]]]:
    """Return the terms of each line from 0, of the run in which they are largest."""
    lines: dict[int, tuple[Term, ...]] = {}
    for subject in found.report.runs:
        here: dict[int, list[Term]] = {}
        for span, term in owned(subject):
            if is_in(span, found.source, text):
                here.setdefault(span.start.line - 1, []).append(term)
        for line, terms in here.items():
            if _bytes(terms) > _bytes(lines.get(line, ())):
                lines[line] = tuple(terms)
    return sorted((line, terms) for line, terms in lines.items() if _bytes(terms) >= _LEAST)


def _bytes(terms: tuple[Term, ...] | list[Term]) -> int:
    return sum(term.bytes for term in terms)


def _hint(server: Server, text: Text, line: int, terms: tuple[Term, ...]) -> types.InlayHint:
    from vramlint.source.spans import Position  # noqa: PLC0415
    from vramlint_lsp.convert import to_position  # noqa: PLC0415

    end = Position(line + 1, len(text.lines[line].rstrip()))
    told = "  \n".join(f"{term.name}: {gigabytes(term.bytes)}" for term in sorted(terms, key=_largest_first))
    return types.InlayHint(
        position=to_position(end, text.lines, server.session.buffers.encoding),
        label=gigabytes(_bytes(terms)),
        tooltip=types.MarkupContent(
            types.MarkupKind.Markdown, f"Allocated at the worst moment because of this line:  \n{told}"
        ),
        padding_left=True,
    )


def _largest_first(term: Term) -> int:
    return -term.bytes
