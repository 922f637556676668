"""An issue: something about a file that stopped part of it from being read."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from vramlint.source.spans import Position, Span

IssueKind = Literal[
    "syntax-error", "unreadable", "binary", "too-large", "broken-notebook", "malformed-pragma"
]


@dataclass(frozen=True, slots=True)
class Issue:
    """What could not be read, and where; `message` is one line for a person."""

    kind: IssueKind
    message: str
    span: Span


def at_top(path: str, cell: int | None = None) -> Span:
    """Return the place that stands for a whole file or cell: its first character."""
    return Span(path, Position(1, 0), Position(1, 0), cell)
