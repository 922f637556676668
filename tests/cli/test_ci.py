"""The hook of pre-commit, and the files for GitHub's and GitLab's machines."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import yaml

from vramlint.cli.check import add_arguments
from vramlint.cli.usage import Parser

ROOT = Path(__file__).parent.parent.parent


def loaded(name: str) -> Any:
    """Return a file of YAML."""
    return yaml.safe_load((ROOT / name).read_text(encoding="utf-8"))


def options() -> set[str]:
    """Return the options of `check`."""
    parser = Parser("vramlint check", "")
    add_arguments(parser)
    return set(re.findall(r"--[a-z-]+", parser.format_help()))


def test_the_hook() -> None:
    """It checks scripts and notebooks, in one process of its own that starts others."""
    (hook,) = loaded(".pre-commit-hooks.yaml")
    assert ("vramlint", "vramlint check", "python") == (hook["id"], hook["entry"], hook["language"])
    assert ["python", "jupyter"] == hook["types_or"]
    assert hook["require_serial"]


def test_the_manifest_is_valid() -> None:
    """By pre-commit's own words."""
    command = [sys.executable, "-m", "pre_commit", "validate-manifest", str(ROOT / ".pre-commit-hooks.yaml")]
    assert 0 == subprocess.run(command, check=False).returncode


def test_the_action() -> None:
    """Its script parses, takes inputs from variables alone, and uses options that there are."""
    action = loaded("action.yml")
    assert "composite" == action["runs"]["using"]
    for step in action["runs"]["steps"]:
        assert "${{" not in step["run"]
        assert 0 == subprocess.run(["bash", "-n", "-c", step["run"]], check=False).returncode
    script = action["runs"]["steps"][1]["run"]
    assert set(re.findall(r"--[a-z-]+", script)) <= options() | {"--max-increase"}


def test_the_actions_script(tmp_path: Path) -> None:
    """With a command in vramlint's place: the comment, the summary, the output, and the worst status."""
    fake = tmp_path / "vramlint" / "bin" / "vramlint"
    fake.parent.mkdir(parents=True)
    fake.write_text('#!/bin/bash\necho "$*"\n[[ "$*" == *github* ]] && exit 1\nexit 0\n')
    fake.chmod(0o755)
    given = {
        "RUNNER_TEMP": str(tmp_path),
        "GITHUB_STEP_SUMMARY": str(tmp_path / "summary"),
        "GITHUB_OUTPUT": str(tmp_path / "output"),
        "PATHS": "a b",
        "GPU": "A100 80GB",
        "FAIL_ON": "error",
        "BASE": "origin/main",
        "MAX_INCREASE": "5%",
        "SARIF": str(tmp_path / "v.sarif"),
        "PATH": "/usr/bin:/bin",
    }
    script = loaded("action.yml")["runs"]["steps"][1]["run"]
    done = subprocess.run(
        ["bash", "-e", "-c", script], env=given, check=False, capture_output=True, text=True
    )
    assert 1 == done.returncode
    assert "check a b --gpu A100 80GB --format github --fail-on error\n" == done.stdout
    assert "--format sarif" in (tmp_path / "v.sarif").read_text()
    summary = (tmp_path / "summary").read_text()
    assert "diff origin/main --gpu A100 80GB --max-increase 5% --format markdown\n" in summary
    assert f"comment-file={tmp_path / 'vramlint.md'}\n" == (tmp_path / "output").read_text()


def test_the_job_for_gitlab() -> None:
    """It uses formats that there are."""
    job = loaded("docs/gitlab-ci.yml")["vramlint"]
    assert ["gitlab", "junit"] == re.findall(r"--format (\w+)", "\n".join(job["script"]))
    assert {"codequality", "junit"} == set(job["artifacts"]["reports"])
