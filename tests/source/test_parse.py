"""Parsing gives every cell a tree or issues, quickly, and positions in code points."""

from __future__ import annotations

import ast
import json
import sys
from time import perf_counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vramlint.source.parse import Program, parse
from vramlint.source.read import document
from vramlint.source.spans import Position, Span


def script(text: str) -> Program:
    """Parse a script."""
    return parse(document("train.py", text)[0])


def notebook(*cells: str) -> Program:
    """Parse a notebook of code cells."""
    content = {"cells": [{"cell_type": "code", "source": cell} for cell in cells]}
    return parse(document("a.ipynb", json.dumps(content))[0])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("(" * 5000 + ")" * 5000, "too many nested parentheses"),
        ("-" * 5000 + "1", "nested too deeply to be parsed"),
        ("1" + "+1" * 5000, "nested too deeply to be parsed"),
        ("1" + "+1" * 1500, "nested more than 250 levels deep"),
        ("if a:\n pass\n" + "elif a:\n pass\n" * 5000, "nested too deeply to be parsed"),
        ("lambda: " * 5000 + "1", "nested too deeply to be parsed"),
        ("x" + ".a" * 5000, "nested too deeply to be parsed"),
        ("".join(" " * depth + "if a:\n" for depth in range(150)), "too many levels of indentation"),
        ("x = '\ud800'", "half of a surrogate pair"),
        ("x = '\0'", "null bytes"),
        ("print 'loss', loss", "Missing parentheses"),
        ("x = " + "1" * 5000, "Exceeds the limit"),
        ("x = (", "'(' was never closed"),
    ],
)  # fmt: skip
def test_bad_code_is_an_issue_soon(text: str, message: str) -> None:
    """Deep, wrong and old code is told in one line, without a tree, a crash or a long wait."""
    began = perf_counter()
    program = script(text)
    assert perf_counter() - began < 2
    assert [None] == [cell.tree for cell in program.cells]
    assert [True] == [message in issue.message for issue in program.issues]


def test_a_long_line_is_parsed() -> None:
    """One line just under the limit of a file is no reason to wait."""
    began = perf_counter()
    program = script("x = '" + "a" * 999_000 + "'")
    assert perf_counter() - began < 2
    assert () == program.issues


@pytest.mark.parametrize(
    "text", ["type Pair = tuple[int, int]", "def first[T](x: T): ...", "x = f'{args['lr']}'"]
)
def test_newer_grammar_is_named(text: str) -> None:
    """Code that a newer Python parses is not called wrong without saying so, and that Python just parses it."""
    issues = script(text).issues
    if sys.version_info >= (3, 12):
        assert () == issues
    else:
        assert "Python 3.12 or newer" in issues[0].message


def test_positions_are_code_points() -> None:
    """Characters of two and four bytes count as one each."""
    program = script('name = "é😀"; optimizer = AdamW()')
    tree = program.cells[0].tree
    assert tree is not None
    assert isinstance(tree.body[1], ast.Assign)
    assert Span("train.py", Position(1, 25), Position(1, 32)) == program.span(tree.body[1].value, 0)


def test_a_masked_cell_keeps_its_positions() -> None:
    """What is masked has other bytes than the original; columns count from what was parsed."""
    program = notebook("a = 1\n%time é = f(); train()")
    tree = program.cells[0].tree
    assert tree is not None
    assert Span("a.ipynb", Position(2, 15), Position(2, 22), 0) == program.span(tree.body[-1], 0)


def test_a_broken_cell_hides_no_other() -> None:
    """The issue stands in its own cell, and the cells around it have trees."""
    program = notebook("x = 1", "y = (", "z = 3")
    assert [True, False, True] == [cell.tree is not None for cell in program.cells]
    assert [Span("a.ipynb", Position(1, 4), Position(1, 5), 1)] == [issue.span for issue in program.issues]


def test_a_percent_script_in_one_piece() -> None:
    """Where the whole parses there is one tree; loops over cells see the lines of the file."""
    program = script("# %%\nx = 1\n# %%\ny = 2\n")
    assert 1 == len(program.cells)


def test_a_broken_percent_cell_hides_no_other() -> None:
    """The cells are parsed apart only where the whole does not parse, on the lines of the file."""
    program = script("x = 1\n# %%\ny = (\n# %%\nz = 3\n")
    assert [True, False, True] == [cell.tree is not None for cell in program.cells]
    last = program.cells[2].tree
    assert last is not None
    assert 5 == program.span(last.body[0], 2).start.line
    assert [3] == [issue.span.start.line for issue in program.issues]


def test_a_pasted_session_parses() -> None:
    """IPython takes away the prompts that a pasted session has."""
    program = notebook(">>> if a:\n...     b()\n")
    assert (True, ()) == (program.cells[0].tree is not None, program.issues)


def test_an_indented_cell_parses() -> None:
    """IPython takes away the indentation that a whole cell has."""
    program = notebook("  x = 1\n  y = 2")
    tree = program.cells[0].tree
    assert tree is not None
    assert [(1, 2), (2, 2)] == [(node.lineno, node.col_offset) for node in tree.body]


def test_other_documents_have_no_code() -> None:
    """A launch script is a document, and no program."""
    assert () == parse(document("run.sh", "python train.py")[0]).cells


PIECES = ("x?\n", "!ls \\\n", "x \\\n", "'''", '"', "(", "%time ", "a = !", "# c\n", "f(a, 1)\n", ">>> x\n")


@pytest.mark.parametrize("piece", PIECES)
def test_time_grows_with_length(piece: str) -> None:
    """Two hundred kilobytes of anything are read within seconds, on a slow machine too."""
    began = perf_counter()
    script(piece * (200_000 // len(piece)))
    assert perf_counter() - began < 10


@given(st.text(max_size=80))
def test_no_text_raises(text: str) -> None:
    """Whatever the text is, every cell has a tree or an issue."""
    for program in (script(text), notebook(text, "x = 1")):
        assert all((cell.tree is None) == bool(cell.issues) for cell in program.cells)
