"""Hover: at a training call the whole run, at a setting what it causes, elsewhere nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lsprotocol import types

from vramlint_lsp.cards import reading_card, run_card
from vramlint_lsp.causes import read_at
from vramlint_lsp.places import covers, is_in, place_at

if TYPE_CHECKING:
    from collections.abc import Iterator

    from vramlint.rules.subject import Subject
    from vramlint.source.spans import Position
    from vramlint_lsp.advice import Advice
    from vramlint_lsp.buffers import Text
    from vramlint_lsp.server import Server
    from vramlint_lsp.session import Analysis

_PATIENCE = 0.5
"""Seconds to wait for what takes longer; without it the card is shorter."""
_MOST_RUNS = 3
_RULE = "\n\n---\n\n"


def register(server: Server) -> None:
    """Register the hover."""

    @server.guarded(types.TEXT_DOCUMENT_HOVER)
    async def hover(params: types.HoverParams) -> types.Hover | None:
        uri = params.text_document.uri
        found = await server.session.advice(uri, _PATIENCE)
        if found is None or not server.configuration.switches(found.source.path).hover:
            return None
        at = place_at(server, found.source, uri, params.position)
        text = None if at is None else card(found, *at)
        return None if not text else types.Hover(types.MarkupContent(types.MarkupKind.Markdown, text))


def card(found: Analysis, text: Text, place: Position) -> str:
    """Return what a place in a text has to do with memory, run by run; nothing where it has nothing."""
    if _is_import(text, place):
        return ""
    told: dict[str, None] = {}
    for number, subject in enumerate(found.report.runs):
        advice = found.advice[number] if found.advice is not None else None
        told.update(dict.fromkeys(_cards(found, subject, advice, text, place)))
    shown = [*told][:_MOST_RUNS]
    if len(told) > len(shown):
        shown.append(f"… and {len(told) - len(shown)} further runs")
    return _RULE.join(shown)


def _cards(
    found: Analysis, subject: Subject, advice: Advice | None, text: Text, place: Position
) -> Iterator[str]:
    span = subject.run.span
    if is_in(span, found.source, text) and place.line == span.start.line and covers(span, place):
        yield run_card(subject, advice)
        return
    read = [one for one in read_at(subject, found.source, text, place) if one.name not in _SILENT]
    if read:
        yield "\n\n".join(reading_card(subject, one, advice) for one in read)


_SILENT = frozenset({"task", "framework", "mode", "libraries"})
"""Settings that cause no bytes of their own."""


def _is_import(text: Text, place: Position) -> bool:
    line = text.lines[place.line - 1].lstrip() if place.line <= len(text.lines) else ""
    return line.startswith(("import ", "from "))
