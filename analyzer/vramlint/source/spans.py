"""Places in a document: a line from 1 and a column from 0, counted in code points, inside one cell."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, order=True)
class Position:
    """A point in a cell's text; `line` counts from 1, `column` from 0 in code points."""

    line: int
    column: int


@dataclass(frozen=True, slots=True)
class Span:
    """A stretch of one cell; `end` is exclusive, `cell` is the index among all cells of a notebook."""

    path: str
    start: Position
    end: Position
    cell: int | None = None
