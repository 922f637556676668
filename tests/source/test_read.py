"""Reading gives a document for every file, and an issue for what it could not read."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vramlint.source.document import Cell
from vramlint.source.read import NOTEBOOK_LIMIT, TEXT_LIMIT, document


def notebook(*sources: object, **more: object) -> str:
    """Return a notebook of code cells as JSON text."""
    return json.dumps({"cells": [{"cell_type": "code", "source": source} for source in sources], **more})


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("train.py", "script"), ("Train.PY", "script"), ("-", "script"), ("run.sh", "shell"),
        ("run.bash", "shell"), ("ds.json", "json"), ("a.yml", "yaml"), ("a.toml", "toml"),
        ("README.md", "markdown"),
    ],
)  # fmt: skip
def test_the_suffix_says_the_kind(path: str, kind: str) -> None:
    """A file is what its suffix says, and Python where it says nothing."""
    assert kind == document(path, "")[0].kind


@pytest.mark.parametrize("mark", ["# %%", "#%%", "# %% [markdown]", "# COMMAND ----------"])
def test_cell_marks_make_a_percent_script(mark: str) -> None:
    """A script with cell marks is a percent script; its one cell keeps the lines of the file."""
    read, issues = document("train.py", f"x = 1\n{mark}\ny = 2\n")
    assert ("percent-script", ()) == (read.kind, issues)
    assert (Cell(None, f"x = 1\n{mark}\ny = 2\n"),) == read.cells


def test_a_kind_overrules_the_suffix() -> None:
    """Standard input has no suffix; the caller says what it is."""
    assert "notebook" == document("-", notebook("x"), "notebook")[0].kind


@pytest.mark.parametrize("data", [b"\xef\xbb\xbfx = 1\r\ny = 2\rz\f", "\ufeffx = 1\r\ny = 2\rz\f"])
def test_line_ends_and_marks_are_normalised(data: bytes | str) -> None:
    """The byte-order mark goes, all line ends become one kind, and a form feed ends no line."""
    assert "x = 1\ny = 2\nz\f" == document("train.py", data)[0].cells[0].text


def test_the_declared_encoding_is_used() -> None:
    """PEP 263: the comment on the first two lines names the encoding."""
    data = "# -*- coding: latin-1 -*-\nname = 'é'".encode("latin-1")
    assert "name = 'é'" == document("train.py", data)[0].cells[0].text.split("\n")[1]


@pytest.mark.parametrize(
    ("path", "data", "kind", "message"),
    [
        ("a.py", b"x\0y", "binary", "binary data"),
        ("a.py", "x = 1".encode("utf-16"), "unreadable", "UTF-16 text"),
        ("a.py", b"# coding: klingon\n", "unreadable", "unknown encoding: klingon"),
        ("a.py", b"# coding: punycode\n", "unreadable", "unusable encoding declaration: punycode"),
        ("a.py", b"x = 1\n" * TEXT_LIMIT, "too-large", "files over 1,000,000 are not read"),
        ("a.ipynb", b"{", "broken-notebook", "broken notebook: Expecting property name"),
        ("a.ipynb", b"[]", "broken-notebook", "without a list of cells"),
        ("a.ipynb", b"[" * 100_000, "broken-notebook", "nested too deeply"),
        ("a.ipynb", b"version https://git-lfs.github.com/spec/v1\n", "broken-notebook", "Git LFS pointer"),
        ("a.ipynb", notebook("x" * (TEXT_LIMIT + 1)), "too-large", "characters in cells"),
    ],
)  # fmt: skip
def test_what_cannot_be_read_is_an_issue(path: str, data: bytes | str, kind: str, message: str) -> None:
    """No cells, one issue at the top of the file, one line that says why."""
    read, issues = document(path, data)
    assert () == read.cells
    assert [(kind, 1)] == [(issue.kind, issue.span.start.line) for issue in issues]
    assert message in issues[0].message


def test_wrong_bytes_keep_the_rest() -> None:
    """A file that is not in its encoding is read as far as it goes, with an issue."""
    read, issues = document("a.py", b"x = 1\nname = '\xe9'\n")
    assert "x = 1" in read.cells[0].text
    assert ["unreadable"] == [issue.kind for issue in issues]


def test_notebook_cells_keep_their_indices() -> None:
    """Lists of lines and strings are both sources; markdown and what is no cell are counted."""
    content = {
        "cells": [
            {"cell_type": "markdown", "source": "# Title"},
            {"cell_type": "code", "source": ["x = 1\n", "y = 2"], "outputs": [{"text": "secret"}]},
            "no cell",
            {"cell_type": "code", "source": "z = 3"},
        ]
    }
    cells = document("a.ipynb", json.dumps(content))[0].cells
    expected = (
        Cell(0, "# Title", "markdown"), Cell(1, "x = 1\ny = 2"), Cell(2, "", "raw"), Cell(3, "z = 3"),
    )  # fmt: skip
    assert expected == cells


def test_worksheets_of_nbformat_3_are_read() -> None:
    """Old notebooks keep cells in worksheets, and code under another key."""
    sheet = {
        "cells": [{"cell_type": "heading", "source": "Title"}, {"cell_type": "code", "input": ["x = 1"]}]
    }
    cells = document("a.ipynb", json.dumps({"nbformat": 3, "worksheets": [sheet]}))[0].cells
    assert (Cell(0, "Title", "markdown"), Cell(1, "x = 1")) == cells


def test_cells_of_other_languages_are_raw() -> None:
    """An R notebook holds no Python to parse."""
    read = document("a.ipynb", notebook("x <- 1", metadata={"kernelspec": {"language": "R"}}))[0]
    assert ["raw"] == [cell.kind for cell in read.cells]


@pytest.mark.parametrize("text", ["", "\n", '{"cells": []}'])
def test_an_empty_notebook_is_no_fault(text: str) -> None:
    """Editors make notebooks as empty files."""
    assert ((), ()) == (document("a.ipynb", text)[0].cells, document("a.ipynb", text)[1])


def test_the_limit_for_notebooks_leaves_room_for_outputs() -> None:
    """A notebook of several megabytes of pictures is read; its outputs are not kept."""
    output = {"data": {"image/png": "A" * (TEXT_LIMIT + 1)}}
    text = json.dumps({"cells": [{"cell_type": "code", "source": "x = 1", "outputs": [output]}]})
    assert TEXT_LIMIT < len(text) < NOTEBOOK_LIMIT
    assert (Cell(0, "x = 1"),) == document("a.ipynb", text)[0].cells


@given(st.sampled_from(["a.py", "a.ipynb", "a.sh", "a.json"]), st.binary(max_size=200))
def test_no_bytes_raise(path: str, data: bytes) -> None:
    """Whatever the bytes are, there is a document, with cells or with an issue that says why not."""
    read, issues = document(path, data)
    assert read.cells or issues or not data.strip()


KEYS = st.sampled_from(["cells", "worksheets", "cell_type", "source", "input", "metadata", "language_info"])


@given(
    st.recursive(
        st.none() | st.text() | st.integers(),
        lambda inner: st.lists(inner) | st.dictionaries(KEYS, inner),
    )
)
def test_no_json_raises(content: object) -> None:
    """Whatever shape the JSON of a notebook has, there is a document."""
    assert "notebook" == document("a.ipynb", json.dumps(content))[0].kind
