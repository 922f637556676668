"""Spans as places in the editor: in an open text, in one of its cells, or in another file."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from lsprotocol import types

from vramlint_lsp.convert import from_position, lines_of, to_range, uri_of

if TYPE_CHECKING:
    from vramlint.facts.setting import Origin
    from vramlint.source.spans import Position, Span
    from vramlint_lsp.buffers import Source, Text
    from vramlint_lsp.convert import Encoding
    from vramlint_lsp.session import Session


class Host(Protocol):
    """What has a session: the server, or another program's plugin."""

    session: Session


def range_in(text: Text, span: Span, encoding: Encoding) -> types.Range:
    """Return the range of a span in its own text."""
    return to_range(span, text.lines, encoding)


def location(server: Host, source: Source, span: Span) -> types.Location | None:
    """Return where a span is: in the document itself, another open one, or a file on disk."""
    encoding = server.session.buffers.encoding
    if span.path == source.path:
        placed = source.placed(span)
        if placed is None:
            return None
        text, there = placed
        return types.Location(uri=text.uri, range=range_in(text, there, encoding))
    content = server.session.read(span.path)
    if content is None or span.cell is not None:
        return None
    lines = lines_of(content.decode("utf-8", "replace"))
    return types.Location(uri=uri_of(span.path), range=to_range(span, lines, encoding))


def place_at(
    server: Host, source: Source, uri: str, position: types.Position
) -> tuple[Text, Position] | None:
    """Return the text and the place in it that a request points to."""
    text = source.text_at(uri)
    if text is None:
        return None
    return text, from_position(position, text.lines, server.session.buffers.encoding)


def is_in(span: Span | None, source: Source, text: Text) -> bool:
    """Say whether a span stands in this text."""
    return span is not None and span.path == source.path and span.cell == text.cell


def covers(span: Span, place: Position) -> bool:
    """Say whether a place is in a span, its end included: there the cursor stands after the last character."""
    return span.start <= place <= span.end


def extent(span: Span) -> tuple[int, int]:
    """Return the size of a span, to find the innermost of several."""
    return span.end.line - span.start.line, span.end.column - span.start.column


def origin_in(origin: Origin, source: Source, text: Text) -> Span | None:
    """Return the span of an origin where it stands in this text."""
    return origin.span if is_in(origin.span, source, text) else None
