"""Pragmas: comments that silence rules (`# vramlint: ignore[…]`) or state settings (`# vramlint: set …`)."""

from __future__ import annotations

import difflib
import json
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from vramlint.source.issue import Issue
from vramlint.source.lexer import Comment, comments
from vramlint.source.spans import Position, Span

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

    from vramlint.source.document import Cell, Document
    from vramlint.source.parse import Program


@dataclass(frozen=True, slots=True)
class Ignore:
    """Silence `rules`, or every rule where there are none: on `line` of its cell, or in the whole file."""

    rules: tuple[str, ...]
    span: Span
    line: int | None = None


@dataclass(frozen=True, slots=True)
class Override:
    """State one setting: a dotted `key` and a `value`, JSON or a bare string; `line` as in `Ignore`."""

    key: str
    value: Any
    span: Span
    line: int | None = None


@dataclass(frozen=True, slots=True)
class Pragmas:
    """The pragmas of one document, and what is wrong with those that are malformed."""

    ignores: tuple[Ignore, ...] = ()
    overrides: tuple[Override, ...] = ()
    issues: tuple[Issue, ...] = ()


_PRAGMA = re.compile(r"#\s*vramlint:\s*(?P<word>[\w-]*)(?P<rest>[^\n]*)")
_RULES = re.compile(r"\s*\[(?P<rules>[^\]]*)\]")
_ASSIGNMENT = re.compile(r"(?P<key>[A-Za-z_][\w.]*)=(?P<bare>[^\s#]*)")
_WORDS = ("ignore", "set")


def pragmas(document: Document, rules: Collection[str] = (), settings: Collection[str] = ()) -> Pragmas:
    """Return the pragmas of `document`.

    At the end of a line a pragma holds for that line. On a line of its own it holds for the whole
    file where no code of the cell stands above it, and for the next line of code otherwise. Names
    are checked against `rules` and the first parts of keys against `settings` where those are given.
    """
    if not any("vramlint:" in cell.text for cell in document.cells):
        return Pragmas()
    reader = _Reader(document.path, rules, settings)
    read = [
        reader.read(comment, cell, match)
        for cell in document.cells
        if cell.kind == "code" and "vramlint:" in cell.text
        for comment in comments(cell.text)
        if (match := _PRAGMA.search(comment.text))
    ]
    return Pragmas(
        tuple(item for part in read for item in part.ignores),
        tuple(item for part in read for item in part.overrides),
        tuple(item for part in read for item in part.issues),
    )


def is_ignored(program: Program, rule: str, span: Span) -> bool:
    """Say whether a comment of the program silences a finding of `rule` that starts at `span`."""
    return any(_covers(ignore, rule, span) for ignore in pragmas(program.document).ignores)


def _covers(ignore: Ignore, rule: str, span: Span) -> bool:
    if ignore.rules and rule not in ignore.rules:
        return False
    return ignore.line is None or (ignore.line, ignore.span.cell) == (span.start.line, span.cell)


@dataclass(frozen=True, slots=True)
class _Reader:
    path: str
    rules: Collection[str]
    settings: Collection[str]

    def read(self, comment: Comment, cell: Cell, match: re.Match[str]) -> Pragmas:
        span = _span(self.path, comment, cell, match)
        line = _scope(comment, cell)
        if match["word"] == "ignore":
            return self._ignore(match["rest"], span, line)
        if match["word"] == "set":
            return self._set(match["rest"], span, line)
        return _malformed(span, f'unknown pragma "{match["word"]}"', match["word"], _WORDS)

    def _ignore(self, rest: str, span: Span, line: int | None) -> Pragmas:
        listed = _RULES.match(rest)
        if listed is None and rest.lstrip().startswith("["):
            return _malformed(span, "a list of rules without its closing ]")
        if listed is None:
            return Pragmas(ignores=(Ignore((), span, line),))
        names = tuple(name.strip() for name in listed["rules"].split(",") if name.strip())
        if not names:
            return _malformed(span, "an empty list of rules; leave out the brackets to silence all")
        for name in names:
            if self.rules and name not in self.rules:
                return _malformed(span, f'unknown rule "{name}"', name, self.rules)
        return Pragmas(ignores=(Ignore(names, span, line),))

    def _set(self, rest: str, span: Span, line: int | None) -> Pragmas:
        overrides: list[Override] = []
        position = len(rest) - len(rest.lstrip())
        while position < len(rest) and rest[position] != "#":
            assignment = _ASSIGNMENT.match(rest, position)
            if assignment is None:
                return _malformed(span, f'"{rest[position:].split(maxsplit=1)[0]}" is no key=value')
            key = assignment["key"]
            if self.settings and key.split(".")[0] not in self.settings:
                return _malformed(span, f'unknown setting "{key}"', key.split(".")[0], self.settings)
            value, position = _value(rest, assignment)
            if value == "":
                return _malformed(span, f'no value for "{key}"; write {key}=value without spaces')
            overrides.append(Override(key, value, span, line))
            position += len(rest[position:]) - len(rest[position:].lstrip())
        if not overrides:
            return _malformed(span, "set needs at least one key=value")
        return Pragmas(overrides=tuple(overrides))


def _value(rest: str, assignment: re.Match[str]) -> tuple[Any, int]:
    """Return the value at the `=` and where it ends: JSON, which may hold spaces, or else a bare string."""
    start = assignment.start("bare")
    try:
        value, end = json.JSONDecoder().raw_decode(rest, start)
    except (ValueError, RecursionError):
        return assignment["bare"], assignment.end()
    if end < len(rest) and not rest[end].isspace():  # such as 4bit, which starts like a number
        return assignment["bare"], assignment.end()
    return value, end


def _scope(comment: Comment, cell: Cell) -> int | None:
    """Return the line that a pragma holds for, or None for the whole file."""
    if not comment.alone:
        return comment.line
    lines = cell.text.split("\n")
    if not any(map(_is_code, lines[: comment.line - 1])):
        return None
    return next(
        (number for number, line in enumerate(lines[comment.line :], comment.line + 1) if _is_code(line)),
        None,
    )


def _is_code(line: str) -> bool:
    return bool(line.strip()) and not line.lstrip().startswith("#")


def _span(path: str, comment: Comment, cell: Cell, match: re.Match[str]) -> Span:
    start = comment.column + match.start()
    end = comment.column + len(comment.text.rstrip())
    return Span(path, Position(comment.line, start), Position(comment.line, end), cell.index)


def _malformed(span: Span, message: str, word: str = "", valid: Iterable[str] = ()) -> Pragmas:
    nearest = difflib.get_close_matches(word, valid, n=1, cutoff=0.5) if word else []
    hint = f'; did you mean "{nearest[0]}"?' if nearest else ""
    return Pragmas(issues=(Issue("malformed-pragma", f"pragma: {message}{hint}", span),))
