"""Where a finding stands in the file itself: the line and column of its bytes, through a notebook's JSON too."""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from vramlint.source.read import document

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from vramlint.report import FileReport
    from vramlint.rules.finding import Finding
    from vramlint.source.spans import Position, Span

_BLANK = re.compile(r"[ \t\r\n]*")
_ESCAPE = re.compile(r"\\(?:u[dD][89abAB]\w{2}\\u[dD][c-fC-F]\w{2}|u\w{4}|.)", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Region:
    """A stretch of a file: lines and columns from 1, columns in code points, `end` exclusive."""

    line: int
    column: int
    end_line: int
    end_column: int


class Sources:
    """The texts that a file's findings stand in; a path without one keeps the positions of its cells."""

    def __init__(self, contents: Mapping[str, bytes]) -> None:
        self._contents = contents
        self._texts: dict[str, str] = {}
        self._cells: dict[str, dict[int | None, str]] = {}

    def region(self, span: Span) -> Region:
        """Return where a span stands in its file; a cell that cannot be found stands at the top."""
        if span.cell is None:
            start, end = span.start, span.end
            return Region(start.line, start.column + 1, end.line, end.column + 1)
        text = self._text(span.path)
        places = [_place(text, span.cell, position) for position in (span.start, span.end)]
        (line, column), (end_line, end_column) = places
        return Region(line, column, end_line, end_column)

    def utf8(self, span: Span) -> Region:
        """Return the region with columns that count bytes of UTF-8."""
        region = self.region(span)
        lines = self._lines(span)

        def column(line: int, code_points: int) -> int:
            text = lines[line - 1] if line <= len(lines) else ""
            return len(text[: code_points - 1].encode(errors="replace")) + 1

        return Region(
            region.line,
            column(region.line, region.column),
            region.end_line,
            column(region.end_line, region.end_column),
        )

    def snippet(self, span: Span) -> str:
        """Return the lines of a span as its cell has them."""
        return "\n".join(self._cell(span).split("\n")[span.start.line - 1 : span.end.line])

    def _lines(self, span: Span) -> list[str]:
        text = self._cell(span) if span.cell is None else self._text(span.path)
        return text.split("\n")

    def _cell(self, span: Span) -> str:
        if span.path not in self._cells:
            read, _ = document(span.path, self._contents.get(span.path, b""))
            self._cells[span.path] = {cell.index: cell.text for cell in read.cells}
        return self._cells[span.path].get(span.cell, "")

    def _text(self, path: str) -> str:
        if path not in self._texts:
            text = self._contents.get(path, b"").decode("utf-8-sig", errors="replace")
            self._texts[path] = text.replace("\r\n", "\n").replace("\r", "\n")
        return self._texts[path]


def fingerprints(file: FileReport, sources: Sources) -> Iterator[tuple[Finding, str]]:
    """Yield each finding with a name that stays when lines above it come or go.

    It is made of the rule and the words of the finding's lines; equal ones are counted.
    """
    seen: dict[str, int] = {}
    for finding in file.findings:
        words = " ".join(sources.snippet(finding.span).split())
        base = hashlib.sha256(f"{finding.rule}\0{finding.span.path}\0{words}".encode()).hexdigest()[:32]
        seen[base] = seen.get(base, 0) + 1
        yield finding, base if seen[base] == 1 else f"{base}:{seen[base]}"


def in_notebook(text: str) -> str:
    """Return text as it stands inside a string of a notebook's JSON."""
    return json.dumps(text, ensure_ascii=False)[1:-1]


def _place(text: str, cell: int, position: Position) -> tuple[int, int]:
    """Return line and column, from 1, of a position of a cell in the notebook's JSON."""
    offset = 0
    try:
        offset = _offset(text, cell, position)
    except (ValueError, IndexError, RecursionError):  # broken, or of a shape that nobody writes
        return 1, 1
    return text.count("\n", 0, offset) + 1, offset - (text.rfind("\n", 0, offset) + 1) + 1


def _offset(text: str, cell: int, position: Position) -> int:
    line, column = 1, 0
    last = 0
    for character, at, end in _characters(text, _source(text, cell)):
        if (line, column) >= (position.line, position.column):
            return at
        last = end
        line, column = (line + 1, 0) if character == "\n" else (line, column + 1)
    return last


def _source(text: str, cell: int) -> list[int]:
    """Return where the strings of a cell's source begin, behind their quotes."""
    at = _member(text, 0, "cells")
    start = list(_items(text, at))[cell]
    at = _member(text, start, "source")
    starts = _items(text, at) if text[at] == "[" else iter((at,))
    return [start + 1 for start in starts if text[start] == '"']


def _characters(text: str, starts: list[int]) -> Iterator[tuple[str, int, int]]:
    """Yield each character of some strings of JSON with the stretch that writes it; CR LF is one line end."""
    for start in starts:
        at = start
        while text[at] != '"':
            escape = _ESCAPE.match(text, at)
            end = escape.end() if escape else at + 1
            character = json.loads(f'"{text[at:end]}"', strict=False) if escape else text[at]
            if character == "\r" and text.startswith("\\n", end):
                character, end = "\n", end + 2
            yield ("\n" if character == "\r" else character), at, end
            at = end


def _member(text: str, start: int, name: str) -> int:
    """Return where the value of an object's key begins."""
    decoder = json.JSONDecoder(strict=False)
    at = _skip(text, start)
    if text[at] != "{":
        raise ValueError("no object")
    at = _skip(text, at + 1)
    while text[at] != "}":
        key, at = decoder.raw_decode(text, at)
        value = _skip(text, _skip(text, at) + 1)
        if key == name:
            return value
        _, at = decoder.raw_decode(text, value)
        at = _skip(text, at)
        at = _skip(text, at + 1) if text[at] == "," else at
    raise ValueError(f"no {name}")


def _items(text: str, start: int) -> Iterator[int]:
    """Yield where the items of an array begin."""
    decoder = json.JSONDecoder(strict=False)
    if text[start] != "[":
        raise ValueError("no array")
    at = _skip(text, start + 1)
    while text[at] != "]":
        yield at
        _, at = decoder.raw_decode(text, at)
        at = _skip(text, at)
        at = _skip(text, at + 1) if text[at] == "," else at


def _skip(text: str, at: int) -> int:
    blank = _BLANK.match(text, at)
    return blank.end() if blank else at
