"""The cache of checks and checking in several processes: the same answers, and nothing stale."""

from __future__ import annotations

import json
import shutil
from typing import TYPE_CHECKING

import pytest

from vramlint.cli.cache import Recorder, Store, digest
from vramlint.cli.many import Check, record
from vramlint.render.style import Style
from vramlint.settings import Settings
from vramlint.source.filesystem import read_bytes

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.cli.conftest import Cli


@pytest.fixture
def project(tmp_path: Path, examples: Path) -> Path:
    """A project of one script that trains and many files that do not."""
    folder = tmp_path / "project"
    (folder / ".git").mkdir(parents=True)
    shutil.copy(examples / "train_gpt2.py", folder)
    for number in range(9):
        (folder / f"other_{number}.py").write_text(f"print({number})\n")
    return folder


def stores(project: Path) -> Iterator[Path]:
    """Yield the files of the cache."""
    return (project.parent / "cache" / "vramlint" / "checks").glob("*.json")


def test_the_second_answer_is_the_first(cli: Cli, project: Path) -> None:
    """With the cache, without it, and in several processes; in two formats."""
    for form in ("text", "json"):
        arguments = ("check", "project", "--gpu", "RTX 4090", "--format", form)
        cache = {"XDG_CACHE_HOME": str(project.parent / "cache")}
        plain = cli(*arguments, "--no-cache")
        for answer in (cli(*arguments, **cache), cli(*arguments, **cache), cli(*arguments, "--jobs", "2")):
            assert (plain.returncode, plain.stdout) == (answer.returncode, answer.stdout)
    assert 2 == len(list(stores(project)))


def test_what_is_kept_is_what_is_told(cli: Cli, project: Path) -> None:
    """The page of the second run comes out of the store."""
    cache = {"XDG_CACHE_HOME": str(project.parent / "cache")}
    cli("check", "project", **cache)
    (store,) = stores(project)
    content = json.loads(store.read_text())
    content["entries"]["project/train_gpt2.py"]["result"]["piece"]["page"] = "kept"
    store.write_text(json.dumps(content))
    (project / ".ruff_cache").mkdir()  # no check looks into what other tools leave
    assert "kept" in cli("check", "project", **cache).stdout
    assert "kept" not in cli("check", "project", "--gpu", "24GB", **cache).stdout
    assert "kept" not in cli("check", "project", "--no-cache", **cache).stdout
    (project / "requirements.txt").write_text("torch==2.1.0\n")
    assert "kept" not in cli("check", "project", **cache).stdout


def test_a_broken_store_is_no_store(cli: Cli, project: Path) -> None:
    """Whatever it holds, the files are checked."""
    cache = {"XDG_CACHE_HOME": str(project.parent / "cache")}
    first = cli("check", "project", **cache).stdout
    (store,) = stores(project)
    for text in ("", "[]", '{"entries": 3}', "{"):
        store.write_text(text)
        assert first == cli("check", "project", **cache).stdout


def test_a_cache_that_cannot_be_written_is_left_out(cli: Cli, project: Path) -> None:
    """A file stands where its folder should be."""
    (project.parent / "cache").write_text("")
    assert 0 == cli("check", "project", XDG_CACHE_HOME=str(project.parent / "cache")).returncode


def test_two_runs_at_once_keep_what_both_found(project: Path) -> None:
    """The later one lays its entries over those that the other has written."""
    file = project / "cache" / "one.json"
    first, second = Store(file, {}), Store(file, {})
    seen = {"own": digest(b"x"), "read": {}, "listed": {}}
    first.keep("a.py", "s", seen, {"piece": 1})
    second.keep("b.py", "s", seen, {"piece": 2})
    first.save()
    second.save()
    assert ["a.py", "b.py"] == list(json.loads(file.read_text())["entries"])
    assert [file] == list(file.parent.iterdir())


def test_what_a_check_read_is_known(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its own content, and the folders that it looked into."""
    monkeypatch.chdir(project)
    path, result, seen = record(Check("text", Style()), ("train_gpt2.py", Settings()))
    assert "train_gpt2.py" == path
    assert 1 == result["piece"]["runs"]
    assert digest(read_bytes(path, 10**6)) == seen["own"]
    assert "" in seen["listed"]


def test_neighbours_that_remember(project: Path) -> None:
    """A file that is not there is remembered too: it may come."""
    files = Recorder()
    missing = str(project / "missing.py")
    files.read(missing)
    files.listing(str(project))
    assert {missing: "-"} == files.seen()["read"]
    assert [str(project)] == list(files.seen()["listed"])


def test_at_least_one_process(cli: Cli) -> None:
    """None cannot work."""
    answer = cli("check", "project", "--jobs", "0")
    assert 2 == answer.returncode
    assert "--jobs 0" in answer.stderr
