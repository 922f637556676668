"""Neighbours are read from memory, from what a notebook writes, and from disk within bounds."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from vramlint.source.document import Cell
from vramlint.source.filesystem import FileSystem, load
from vramlint.source.magics import mask
from vramlint.source.neighbours import InMemory, with_written
from vramlint.source.read import TEXT_LIMIT

if TYPE_CHECKING:
    from pathlib import Path


def test_in_memory() -> None:
    """Paths are looked up as they are and normalised; directories are what paths start with."""
    files = InMemory({"a.py": "x", "conf/ds.json": b"{}", "../requirements.txt": "trl"})
    assert b"x" == files.read("a.py") == files.read("conf/../a.py")
    assert files.read("b.py") is None
    assert ("a.py", "conf") == files.listing("") == files.listing(".")
    assert ("ds.json",) == files.listing("conf")
    assert ("requirements.txt",) == files.listing("..")


def test_written_files_hide_others() -> None:
    """What a cell writes is what a later cell reads; `-a` adds to it."""
    cells = ("%%writefile ds.yaml\na: 1\n", "%%writefile -a ds.yaml\nb: 2\n")
    written = [file for text in cells for file in mask(Cell(0, text), "a.ipynb").written]
    files = with_written(InMemory({"ds.yaml": "old", "other.yaml": "kept"}), written)
    assert b"a: 1\nb: 2\n" == files.read("ds.yaml")
    assert b"kept" == files.read("other.yaml")
    assert ("ds.yaml", "other.yaml") == files.listing("")


def test_the_file_system(tmp_path: Path) -> None:
    """Files are read once, and what is missing, a directory or a pipe is None."""
    (tmp_path / "a.txt").write_text("x")
    os.mkfifo(tmp_path / "pipe")
    files = FileSystem()
    assert b"x" == files.read(f"{tmp_path}/a.txt")
    (tmp_path / "a.txt").write_text("y")
    assert b"x" == files.read(f"{tmp_path}/a.txt")
    assert [None] * 4 == [files.read(f"{tmp_path}/{name}") for name in ("none", "", "pipe", "\0")]
    assert ("a.txt", "pipe") == files.listing(str(tmp_path))
    assert () == files.listing(f"{tmp_path}/none")


@pytest.mark.parametrize(
    ("name", "kind", "message"),
    [
        ("none.py", "unreadable", "No such file"),
        ("folder", "unreadable", "not a regular file"),
        ("pipe.py", "unreadable", "not a regular file"),
        ("large.py", "too-large", "files over 1,000,000 are not read"),
    ],
)
def test_what_cannot_be_loaded_is_an_issue(tmp_path: Path, name: str, kind: str, message: str) -> None:
    """No exception, no waiting on a pipe, one line that says why."""
    (tmp_path / "folder").mkdir()
    os.mkfifo(tmp_path / "pipe.py")
    (tmp_path / "large.py").write_bytes(b" " * (TEXT_LIMIT + 1))
    read, issues = load(str(tmp_path / name))
    assert () == read.cells
    assert [kind] == [issue.kind for issue in issues]
    assert message in issues[0].message


def test_load(tmp_path: Path) -> None:
    """A file on disk is read as its bytes are."""
    (tmp_path / "a.py").write_bytes(b"x = 1\r\n")
    read, issues = load(str(tmp_path / "a.py"))
    assert ("x = 1\n", ()) == (read.cells[0].text, issues)
