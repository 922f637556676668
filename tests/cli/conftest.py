"""The real command line, in a process of its own, in an empty folder, without the person's own options."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

Cli = Callable[..., "subprocess.CompletedProcess[str]"]
ROOT = Path(__file__).parent.parent.parent


@pytest.fixture
def cli(tmp_path: Path) -> Cli:
    """Return a function that runs `vramlint` with arguments in `tmp_path`."""
    path = os.pathsep.join(filter(None, sys.path))
    inherited = {key: value for key, value in os.environ.items() if key != "VRAMLINT_GPU"}
    base = {
        **inherited,
        "PYTHONPATH": path,
        "HOME": str(tmp_path),
        "XDG_CONFIG_HOME": str(tmp_path / "config"),
    }

    def run(*arguments: str, stdin: str = "", **variables: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "vramlint", *arguments]
        return subprocess.run(
            command,
            cwd=tmp_path,
            env=base | variables,
            input=stdin,
            capture_output=True,
            text=True,
            check=False,
        )

    return run


@pytest.fixture
def examples() -> Path:
    """Return the folder of the example scripts."""
    return ROOT / "examples"
