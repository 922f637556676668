"""Positions between editors and the analyzer: the only place that knows how a client counts columns.

The analyzer counts lines from 1 and columns from 0 in code points; the protocol counts lines from 0 and columns
in the units of the negotiated encoding (UTF-16 unless the client offers another).
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from lsprotocol import types
from pygls import uris

from vramlint.source.spans import Position, Span

if TYPE_CHECKING:
    from collections.abc import Sequence

    Encoding = types.PositionEncodingKind | str

DEFAULT = types.PositionEncodingKind.Utf16
"""What a client counts in where nothing else was agreed on."""

# Line ends of the protocol; Python's `splitlines` knows more, which editors show inside a line.
_LINE_END = re.compile(r"\r\n|\n|\r")

_MIRROR_NAME = ".virtual_documents"
_MIRROR = re.compile(r"(^|[\\/])\.virtual_documents(?:[\\/]|$)")


def lines_of(text: str) -> list[str]:
    """Return the lines of a text without their ends, as an editor counts them."""
    return _LINE_END.split(text)


def to_units(line: str, column: int, encoding: Encoding) -> int:
    """Return a column in code points as the client counts it; a column beyond the line is its end."""
    before = line[: max(column, 0)]
    if before.isascii() or encoding == types.PositionEncodingKind.Utf32:
        return len(before)
    if encoding == types.PositionEncodingKind.Utf8:
        return len(before.encode("utf-8", "surrogatepass"))
    return len(before.encode("utf-16-le", "surrogatepass")) // 2


def from_units(line: str, units: int, encoding: Encoding) -> int:
    """Return the column in code points for a column of the client; inside a character means before it."""
    if line.isascii() or encoding == types.PositionEncodingKind.Utf32:
        return min(max(units, 0), len(line))
    counted = 0
    for column, character in enumerate(line):
        counted += to_units(character, 1, encoding)
        if counted > units:
            return column
    return len(line)


def to_position(place: Position, lines: Sequence[str], encoding: Encoding) -> types.Position:
    """Return the client's position of a place; one below the text is the end of the text."""
    number = min(max(place.line - 1, 0), len(lines) - 1)
    column = place.column if place.line - 1 <= number else len(lines[number])
    return types.Position(line=number, character=to_units(lines[number], column, encoding))


def from_position(position: types.Position, lines: Sequence[str], encoding: Encoding) -> Position:
    """Return the place of a client's position."""
    if position.line >= len(lines):
        return Position(len(lines), len(lines[-1]))
    return Position(position.line + 1, from_units(lines[position.line], position.character, encoding))


def to_range(span: Span, lines: Sequence[str], encoding: Encoding) -> types.Range:
    """Return the client's range of a span."""
    start = to_position(span.start, lines, encoding)
    end = to_position(span.end, lines, encoding)
    return types.Range(start=start, end=max(start, end, key=lambda at: (at.line, at.character)))


def changed_text(text: str, change: types.TextDocumentContentChangeEvent, encoding: Encoding) -> str:
    """Return the text after one change of the client, whole or incremental."""
    if not isinstance(change, types.TextDocumentContentChangePartial):
        return change.text
    start = _offset(text, change.range.start, encoding)
    end = _offset(text, change.range.end, encoding)
    return text[:start] + change.text + text[max(start, end) :]


def _offset(text: str, position: types.Position, encoding: Encoding) -> int:
    begin = 0
    ends = _LINE_END.finditer(text)
    for _ in range(position.line):
        end = next(ends, None)
        if end is None:
            return len(text)
        begin = end.end()
    following = next(ends, None)
    line = text[begin : following.start() if following else len(text)]
    return begin + from_units(line, position.character, encoding)


def path_of(uri: str) -> str:
    """Return the file system path of a URI; what names no file (an untitled buffer) keeps its own name.

    JupyterLab mirrors a notebook below `.virtual_documents`: the path is the one that the person sees.
    """
    path = uris.to_fs_path(uri) or uri
    return _MIRROR.sub(r"\1", path) if _MIRROR_NAME in path else path


def uri_of(path: str) -> str:
    """Return the URI of a path."""
    return uris.from_fs_path(path) or path
