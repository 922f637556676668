"""Finding modules of a repository: which file an import means, and when looking stops."""

from __future__ import annotations

import pytest

from vramlint.source import imports
from vramlint.source.imports import Repository
from vramlint.source.neighbours import InMemory


def repository(path: str, *files: str) -> Repository:
    """Return the repository of a script among files without content."""
    return Repository(path, InMemory(dict.fromkeys(files, "x = 1\n")))


@pytest.mark.parametrize(
    ("expected", "name", "files"),
    [
        ("app/model.py", "model", ("app/model.py", "model.py")),
        ("app/model/__init__.py", "model", ("app/model/__init__.py", "app/model.py")),
        ("model.py", "model", ("model.py",)),
        ("src/model.py", "model", ("src/model.py",)),
        ("app/datasets.py", "datasets", ("app/datasets.py",)),
        (None, "datasets", ("datasets.py",)),
        (None, "json", ("app/json.py",)),
        (None, "model", ()),
    ],
)
def test_where_a_name_is_found(expected: str | None, name: str, files: tuple[str, ...]) -> None:
    """The script's directory comes first, then those above with their `src`; libraries stay libraries."""
    found = repository("app/train.py", "app/train.py", *files).top(name)
    assert expected == (None if found is None else found.path)


def test_a_module_beats_a_directory_without_init() -> None:
    """A bare directory of that name counts only where nothing else does."""
    found = repository("app/train.py", "app/model/notes.py", "model.py").top("model")
    assert found is not None
    assert "model.py" == found.path


def test_dots_lead_upwards() -> None:
    """`from ..a import b` starts two packages above the importer."""
    read = repository("pkg/sub/train.py", "pkg/__init__.py", "pkg/sub/__init__.py", "pkg/util.py")
    above = read.relative(None, 2)
    assert above is not None
    below = read.below(above, "util")
    assert "pkg/util.py" == (below and below.path)


def test_the_number_of_files_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """Beyond the bound a module is found but not read."""
    monkeypatch.setattr(imports, "MOST_FILES", 1)
    read = repository("train.py", "a.py", "b.py")
    programs = [read.program(found) for name in ("a", "b") if (found := read.top(name)) is not None]
    assert [True, False] == [program is not None for program in programs]
