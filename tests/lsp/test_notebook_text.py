"""Places of cells in the JSON of their notebook, whatever it escapes."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vramlint.source.spans import Position, Span
from vramlint_lsp.notebook_text import in_json


def _there(text: str, span: Span) -> str:
    found = in_json(text, span)
    assert found is not None
    lines = text.split("\n")
    assert found.start.line == found.end.line
    return lines[found.start.line - 1][found.start.column : found.end.column]


@pytest.mark.parametrize("indent", [None, 1], ids=["one line", "indented"])
@pytest.mark.parametrize("ascii_only", [True, False], ids=["escaped", "plain"])
def test_a_word_behind_escapes(indent: int | None, *, ascii_only: bool) -> None:
    """Quotes, tabs and emoji before a word, raw or escaped, do not move it."""
    lines = ['x = "\t\\\\" # 😀é\n', "y = '😀' + word"]
    notebook = {
        "metadata": {"cells": [{"source": ["no"]}]},
        "cells": [{"cell_type": "markdown", "source": "word"}, {"cell_type": "code", "source": lines}],
    }
    text = json.dumps(notebook, indent=indent, ensure_ascii=ascii_only)
    column = lines[1].index("word")
    assert _there(text, Span("n.ipynb", Position(2, column), Position(2, column + 4), 1)) == "word"
    assert _there(text, Span("n.ipynb", Position(1, 0), Position(1, 4), 0)) == "word"


@given(st.lists(st.text(), max_size=4), st.integers(0, 5), st.integers(1, 4), st.integers(0, 9))
def test_any_notebook(cells: list[str], cell: int, line: int, column: int) -> None:
    """Any place in any notebook is found inside its JSON, or not at all."""
    text = json.dumps({"cells": [{"source": one} for one in cells]}, indent=1)
    place = Position(line, column)
    found = in_json(text, Span("n.ipynb", place, place, cell))
    if found is not None:
        rows = text.split("\n")
        assert found.start.line <= len(rows)
        assert found.start.column <= len(rows[found.start.line - 1])
