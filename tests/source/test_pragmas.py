"""Pragmas are found in comments alone, hold for a line or a file, and say what is wrong with them."""

from __future__ import annotations

import json
from typing import Any

import pytest

from vramlint.source.parse import parse
from vramlint.source.pragmas import Ignore, Override, Pragmas, is_ignored, pragmas
from vramlint.source.read import document
from vramlint.source.spans import Position, Span

RULES = ("out-of-memory", "optimizer-states-dominate")
SETTINGS = ("sequence_length", "optimizer", "sharding")


def read(text: str) -> Pragmas:
    """Read the pragmas of a script."""
    return pragmas(document("train.py", text)[0], RULES, SETTINGS)


@pytest.mark.parametrize(
    ("comment", "rules"),
    [
        ("# vramlint: ignore", ()),
        ("#vramlint:ignore", ()),
        ("# vramlint: ignore it is fine", ()),
        ("# vramlint: ignore[out-of-memory]", ("out-of-memory",)),
        ("# vramlint: ignore[out-of-memory, optimizer-states-dominate] we know", RULES),
        ("# noqa: E501  # vramlint: ignore[out-of-memory]", ("out-of-memory",)),
    ],
)
def test_ignores(comment: str, rules: tuple[str, ...]) -> None:
    """Rules in brackets, all without; a reason may follow."""
    found = read(f"x = 1  {comment}\n")
    assert ([rules], [1], ()) == (
        [ignore.rules for ignore in found.ignores],
        [ignore.line for ignore in found.ignores],
        found.issues,
    )


@pytest.mark.parametrize(
    ("comment", "values"),
    [
        ("sequence_length=4096", {"sequence_length": 4096}),
        ("optimizer=Lion sequence_length=8", {"optimizer": "Lion", "sequence_length": 8}),
        ('sharding={"kind": "zero3", "world_size": 8}', {"sharding": {"kind": "zero3", "world_size": 8}}),
        ("sharding.world_size=8  # as in run.sh", {"sharding.world_size": 8}),
        ("optimizer=4bit", {"optimizer": "4bit"}),
        ('optimizer="Lion" ', {"optimizer": "Lion"}),
        ("optimizer=null", {"optimizer": None}),
    ],
)  # fmt: skip
def test_settings(comment: str, values: dict[str, Any]) -> None:
    """Values are JSON or bare words, several apart by spaces, keys may be dotted."""
    found = read(f"# vramlint: set {comment}\nx = 1\n")
    assert (values, ()) == ({item.key: item.value for item in found.overrides}, found.issues)


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("# vramlint: ignore\nx = 1", None),
        ("#!/usr/bin/env python\n\n# vramlint: ignore\nx = 1", None),
        ("x = 1  # vramlint: ignore", 1),
        ("x = 1\n# vramlint: ignore\n\n# more\ny = 2", 5),
        ("x = 1\n# vramlint: ignore", None),
        ("f(\n  a,  # vramlint: ignore\n)", 2),
    ],
)
def test_scope(text: str, line: int | None) -> None:
    """Above all code a pragma is the file's, at the end of a line the line's, and else the next line's."""
    assert [line] == [ignore.line for ignore in read(text).ignores]


@pytest.mark.parametrize(
    "text", ["x = '# vramlint: ignore'", "'''\n# vramlint: ignore\n'''", "# vramlint is good"]
)
def test_only_comments_count(text: str) -> None:
    """Text in strings and prose about the tool are no pragmas."""
    assert Pragmas() == read(text)


def test_broken_code_keeps_its_pragmas() -> None:
    """Comments are found where the code does not parse."""
    assert [2] == [ignore.line for ignore in read("x = (\ny = ]  # vramlint: ignore").ignores]


@pytest.mark.parametrize(
    ("comment", "message"),
    [
        ("ingore", 'unknown pragma "ingore"; did you mean "ignore"?'),
        ("ignore[out-of-memroy]", 'unknown rule "out-of-memroy"; did you mean "out-of-memory"?'),
        ("ignore[", "a list of rules without its closing ]"),
        ("ignore[]", "an empty list of rules; leave out the brackets to silence all"),
        ("set", "set needs at least one key=value"),
        ("set sequence_lenght=8", 'unknown setting "sequence_lenght"; did you mean "sequence_length"?'),
        ("set sequence_length = 8", '"sequence_length" is no key=value'),
        ("set optimizer= 8", 'no value for "optimizer"; write optimizer=value without spaces'),
    ],
)  # fmt: skip
def test_malformed(comment: str, message: str) -> None:
    """A pragma that is not understood has no effect and says which word was meant."""
    found = read(f"x = 1  # vramlint: {comment}")
    assert [f"pragma: {message}"] == [issue.message for issue in found.issues]
    assert ((), ()) == (found.ignores, found.overrides)


def test_places() -> None:
    """A span covers the pragma itself, in its cell."""
    content = {"cells": [{"cell_type": "code", "source": "x = 'é'  # noqa  # vramlint: set a=1"}]}
    found = pragmas(document("a.ipynb", json.dumps(content))[0])
    span = Span("a.ipynb", Position(1, 17), Position(1, 36), 0)
    assert (Override("a", 1, span, 1),) == found.overrides


def test_what_is_ignored() -> None:
    """A finding is silenced by its rule, on its line, or by the file as a whole."""
    program = parse(document("a.py", "x = 1  # vramlint: ignore[out-of-memory]\ny = 2")[0])
    first, second = (Span("a.py", Position(line, 0), Position(line, 5)) for line in (1, 2))
    assert is_ignored(program, "out-of-memory", first)
    assert not is_ignored(program, "optimizer-states-dominate", first)
    assert not is_ignored(program, "out-of-memory", second)
    everywhere = parse(document("a.py", "# vramlint: ignore\nx = 1")[0])
    assert is_ignored(everywhere, "out-of-memory", second)
    assert [Ignore((), Span("a.py", Position(1, 0), Position(1, 18)))] == list(
        pragmas(everywhere.document).ignores
    )
