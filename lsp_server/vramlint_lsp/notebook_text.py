"""A notebook that is open as text: where in its JSON a place of a cell is written."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, NamedTuple

from vramlint.source.spans import Position, Span

if TYPE_CHECKING:
    from collections.abc import Iterator

_TOKEN = re.compile(r'"(?:[^"\\]|\\.)*"|[{}\[\]:,]|[^\s{}\[\]:,"]+', re.DOTALL)
_UNIT = re.compile(
    r"\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}|\\u[0-9a-fA-F]{4}|\\.|.", re.DOTALL
)


class _Literal(NamedTuple):
    """A string of a cell's source: where it begins, behind its quote, and what stands between the quotes."""

    cell: int
    start: int
    raw: str


def in_json(text: str, span: Span) -> Span | None:
    """Return where a span of a cell stands in the JSON of its notebook; None where it is not found."""
    literals = [one for one in _literals(text) if one.cell == span.cell]
    start, end = _offset(literals, span.start), _offset(literals, span.end)
    if start is None or end is None:
        return None
    return Span(span.path, _position(text, start), _position(text, max(start, end)))


def _literals(text: str) -> Iterator[_Literal]:
    """Yield the strings at `cells[…].source` and `cells[…].source[…]`, in order."""
    path: list[str | int] = []
    key: str | None = None
    for token in _TOKEN.finditer(text):
        sign = token[0]
        if sign in "{[":
            path.append(key if key is not None else 0)
            key = None
            path.append(-1 if sign == "[" else "")
            _step(path)
        elif sign in "}]":
            del path[-2:]
        elif sign == ",":
            _step(path)
            key = None
        elif (
            sign.startswith('"')
            and text[token.end() :].lstrip()[:1] == ":"
            and path
            and isinstance(path[-1], str)
        ):
            key = json.loads(sign)
            path[-1] = key or ""
        elif sign.startswith('"') and (cell := _cell_of(path)) is not None:
            yield _Literal(cell, token.start() + 1, sign[1:-1])


def _step(path: list[str | int]) -> None:
    if path and isinstance(path[-1], int):
        path[-1] += 1


def _cell_of(path: list[str | int]) -> int | None:
    """Return the number of the cell whose source is at this path."""
    inner = path[1::2]
    is_source = inner[:1] == ["cells"] and inner[2:3] == ["source"] and len(inner) in {3, 4}
    return inner[1] if is_source and isinstance(inner[1], int) else None


def _offset(literals: list[_Literal], place: Position) -> int | None:
    """Return the offset in the JSON of a line from 1 and a column from 0 in the cell."""
    line, column, last = 1, 0, None
    for literal in literals:
        for unit in _UNIT.finditer(literal.raw):
            if (line, column) == (place.line, place.column):
                return literal.start + unit.start()
            line, column = (line + 1, 0) if unit[0] == "\\n" else (line, column + 1)
            last = literal.start + unit.end()
            if line > place.line:
                return literal.start + unit.start()
    return last if (line, column) == (place.line, place.column) else None


def _position(text: str, offset: int) -> Position:
    before = text[:offset].replace("\r\n", "\n").replace("\r", "\n")
    return Position(before.count("\n") + 1, len(before) - (before.rfind("\n") + 1))
