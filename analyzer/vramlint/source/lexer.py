"""A light scan of Python text, broken or not, for its comments and the starts of its statements."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

_PIECE = re.compile(
    r"""
      (?P<comment>\#.*)
    | (?P<triple>\"\"\"|''')
    | (?P<string>"(?:[^"\\\n]|\\.)*"?|'(?:[^'\\\n]|\\.)*'?)
    | (?P<open>[(\[{])
    | (?P<close>[)\]}])
    | (?P<joined>\\$)
    """,
    re.VERBOSE,
)
_TRIPLE_END = {quote: re.compile(rf"(?:[^\\]|\\.)*?{quote}", re.DOTALL) for quote in ('"""', "'''")}


@dataclass(slots=True)
class State:
    """Where a scan stands between two lines: in a triple-quoted string, in brackets, after a backslash."""

    triple: str = ""
    depth: int = 0
    joined: bool = False

    @property
    def at_statement(self) -> bool:
        """Whether the next line starts a statement of its own."""
        return not (self.triple or self.depth or self.joined)


@dataclass(frozen=True, slots=True)
class Comment:
    """A comment from its `#` on; `alone` where nothing but white space stands before it."""

    line: int
    column: int
    text: str
    alone: bool


def scan(line: str, state: State) -> int | None:
    """Advance `state` over one line and return the column of its comment, if it has one."""
    position = 0
    state.joined = False
    while position <= len(line):
        if state.triple:
            end = _TRIPLE_END[state.triple].match(line, position)
            if end is None:
                return None
            state.triple, position = "", end.end()
        piece = _PIECE.search(line, position)
        if piece is None:
            return None
        position = piece.end()
        match piece.lastgroup:
            case "comment":
                return piece.start()
            case "triple":
                state.triple = piece.group()
            case "open":
                state.depth += 1
            case "close":
                state.depth = max(0, state.depth - 1)
            case "joined":
                state.joined = True
    return None


def comments(text: str) -> Iterator[Comment]:
    """Yield the comments of `text` in order; a `#` inside a string is none, however broken the code is."""
    state = State()
    for number, line in enumerate(text.split("\n"), 1):
        column = scan(line, state)
        if column is not None:
            yield Comment(number, column, line[column:], not line[:column].strip())
