"""What a change does to memory, on real git repositories, which are read without checking anything out."""

from __future__ import annotations

import json
import shutil
import subprocess
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from pathlib import Path

    from tests.cli.conftest import Cli

pytestmark = pytest.mark.skipif(shutil.which("git") is None, reason="git is not there")
_AS = ("-c", "user.name=n", "-c", "user.email=n@example.org", "-c", "commit.gpgsign=false")


def git(folder: Path, *arguments: str) -> None:
    """Run git in a folder."""
    subprocess.run(["git", *_AS, *arguments], cwd=folder, check=True, capture_output=True)


def commit(folder: Path, message: str = "a change") -> None:
    """Commit all files."""
    git(folder, "add", "--all")
    git(folder, "commit", "-qm", message)


@pytest.fixture
def project(tmp_path: Path, examples: Path) -> Path:
    """A repository with one script, committed."""
    shutil.copy(examples / "train_gpt2.py", tmp_path)
    git(tmp_path, "init", "-q")
    commit(tmp_path)
    return tmp_path


def edit(file: Path, old: str, new: str) -> None:
    """Replace a text that is there."""
    text = file.read_text(encoding="utf-8")
    assert old in text
    file.write_text(text.replace(old, new), encoding="utf-8")


def answer(cli: Cli, *arguments: str) -> list[dict[str, Any]]:
    """Return the runs of a JSON answer."""
    runs: list[dict[str, Any]] = json.loads(cli("diff", *arguments, "--format", "json").stdout)["runs"]
    return runs


def test_a_longer_sequence(cli: Cli, project: Path) -> None:
    """The setting with its line, the terms, the verdict, and the figures that a check gives."""
    edit(project / "train_gpt2.py", "BLOCK_SIZE = 1024", "BLOCK_SIZE = 2048")
    (run,) = answer(cli, "HEAD", "--gpu", "20GB")
    now = json.loads(cli("check", "train_gpt2.py", "--format", "json").stdout)
    assert now["files"][0]["runs"][0]["memory"]["allocated"] == run["after"]
    assert run["after"] - run["before"] == run["increase"]
    assert run["increase"] > 0
    assert ["sequence_length 1024 → 2048 (train_gpt2.py:8)"] == run["settings"]
    assert run["increase"] == pytest.approx(sum(term["change"] for term in run["terms"]), abs=10**7)
    assert {"before": "yes", "after": "no"} == run["fits"]
    text = cli("diff", "HEAD", "--gpu", "20GB").stdout
    assert "no longer fits 20 GB GPU" in text
    page = cli("diff", "HEAD", "--gpu", "20GB", "--format", "markdown").stdout
    assert "| `train_gpt2.py:44` |" in page
    assert "█" in page


def test_the_exit_status(cli: Cli, project: Path) -> None:
    """1 where a peak grew beyond the limit, in parts or bytes; never for one that shrank."""
    edit(project / "train_gpt2.py", "BLOCK_SIZE = 1024", "BLOCK_SIZE = 1088")
    for limit, status in (("1%", 1), ("50%", 0), ("10MB", 1), ("100GB", 0)):
        assert status == cli("diff", "HEAD", "--max-increase", limit).returncode
    assert 0 == cli("diff", "HEAD").returncode
    wrong = cli("diff", "HEAD", "--max-increase", "five%")
    assert (2, True) == (wrong.returncode, "five%" in wrong.stderr)


def test_two_revisions(cli: Cli, project: Path) -> None:
    """Neither is checked out: the files of the working tree do not count."""
    edit(project / "train_gpt2.py", "BATCH_SIZE = 8", "BATCH_SIZE = 4")
    commit(project)
    (project / "train_gpt2.py").write_text("print()\n")
    (run,) = answer(cli, "HEAD~1", "HEAD")
    assert run["increase"] < 0
    assert run["settings"][0].startswith("micro_batch_size 8 → 4 (train_gpt2.py:")


def test_a_renamed_file(cli: Cli, project: Path) -> None:
    """Its run is compared with the one of the old name; without an edit nothing is told."""
    git(project, "mv", "train_gpt2.py", "deep.py")
    commit(project)
    assert [] == answer(cli, "HEAD~1", "HEAD")
    edit(project / "deep.py", "BLOCK_SIZE = 1024", "BLOCK_SIZE = 512")
    commit(project)
    (run,) = answer(cli, "HEAD~2", "HEAD")
    assert run["run"].startswith("deep.py:")
    assert run["increase"] < 0


def test_a_change_of_a_module_or_a_launch_line_alone(cli: Cli, project: Path) -> None:
    """The script itself is untouched, and its run is told all the same."""
    edit(project / "train_gpt2.py", "BLOCK_SIZE = 1024", "from sizes import BLOCK_SIZE")
    (project / "sizes.py").write_text("BLOCK_SIZE = 1024\n")
    commit(project)
    (project / "sizes.py").write_text("BLOCK_SIZE = 2048\n")
    (run,) = answer(cli, "HEAD")
    assert run["settings"] == ["sequence_length 1024 → 2048 (sizes.py:1)"]


def test_new_and_removed_runs(cli: Cli, project: Path) -> None:
    """They have no other side, and no limit holds for them."""
    (project / "other.py").write_bytes((project / "train_gpt2.py").read_bytes())
    (project / "train_gpt2.py").unlink()
    (project / "note.md").write_text("text\n")
    commit(project)
    edit(project / "other.py", "gpt2", "gpt2-medium")
    commit(project)
    runs = answer(cli, "HEAD~1", "HEAD")
    assert ["other.py:44"] == [run["run"] for run in runs]
    (project / "third.py").write_bytes((project / "other.py").read_bytes())
    commit(project)
    (run,) = answer(cli, "HEAD~1", "HEAD")
    assert (None, None) == (run["before"], run["increase"])


def test_wrong_revisions(cli: Cli, project: Path) -> None:
    """One line and status 2; what looks like an option is none."""
    assert project.exists()
    for name in ("nothing", "HEAD~99"):
        wrong = cli("diff", name)
        assert 2 == wrong.returncode
        assert name in wrong.stderr


def test_outside_a_repository(cli: Cli) -> None:
    """It is git that says so."""
    wrong = cli("diff", "HEAD")
    assert (2, True) == (wrong.returncode, "git" in wrong.stderr)


def test_the_largest_batch(cli: Cli, project: Path) -> None:
    """What is told fits, and one more does not."""
    rows = json.loads(
        cli("max-batch", "train_gpt2.py", "--gpu", "4090", "--gpu", "A100 80GB", "--format", "json").stdout
    )
    first, second = rows[0]["gpus"]
    most = first["micro_batch_size"]
    assert 8 < most < second["micro_batch_size"]
    for batch, fits in ((most, "yes"), (most + 1, "maybe")):
        check = cli(
            "check",
            "train_gpt2.py",
            "--gpu",
            "4090",
            "--set",
            f"micro_batch_size={batch}",
            "--format",
            "json",
        )
        assert fits == json.loads(check.stdout)["files"][0]["runs"][0]["gpu"]["fits"]
    assert "micro batch" in cli("max-batch", "train_gpt2.py", "--gpu", "4090").stdout
    (project / "nothing.py").write_text("print()\n")
    assert 2 == cli("max-batch", "nothing.py", "--gpu", "4090").returncode
    assert 2 == cli("max-batch", "train_gpt2.py").returncode


def test_gpus_side_by_side(cli: Cli, project: Path, examples: Path) -> None:
    """Which fit as the run is, and how many with everything sharded."""
    shutil.copy(examples / "finetune_llama_trainer.py", project)
    script = ("compare", "finetune_llama_trainer.py", "--gpus", "H200,A100 80GB,8GB")
    found = json.loads(cli(*script, "--format", "json").stdout)[0]["gpus"]
    assert [True, False, False] == [gpu["fits"] for gpu in found]
    assert None is found[0]["count"]
    count = found[1]["count"]
    for size, fits in ((count, "yes"), (count // 2, "maybe")):
        sharding = f'sharding={{"kind": "zero3", "world_size": {size}}}'
        check = cli("check", script[1], "--gpu", "A100 80GB", "--set", sharding, "--format", "json")
        assert fits == json.loads(check.stdout)["files"][0]["runs"][0]["gpu"]["fits"]
    assert "A100 80GB" in cli(*script).stdout
    wrong = cli("compare", "train_gpt2.py", "--gpus", "RTX 9999999")
    assert 2 == wrong.returncode
