"""Emacs with Eglot, in batch: the server as a user adds it, and what Flymake then shows."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest

EMACS = shutil.which("emacs")
EXAMPLE = Path(__file__).parents[2] / "examples" / "finetune_llama_trainer.py"
CONFIGURATION = Path(__file__).with_name("emacs.el")
SECONDS = 90


@cache
def _has_eglot() -> bool:
    """Say whether this Emacs can load Eglot, which is built in since version 29."""
    if EMACS is None:
        return False
    command = [EMACS, "--batch", "--eval", "(progn (require 'package) (package-initialize) (require 'eglot))"]
    return subprocess.run(command, capture_output=True, timeout=SECONDS, check=False).returncode == 0


pytestmark = [
    pytest.mark.skipif(EMACS is None, reason="Emacs is not installed"),
    pytest.mark.skipif(EMACS is not None and not _has_eglot(), reason="Emacs has no Eglot"),
]


@pytest.fixture(scope="module")
def seen(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Return what the editor wrote down of an example."""
    folder = tmp_path_factory.mktemp("emacs")
    script = folder / "train.py"
    script.write_text(EXAMPLE.read_text(encoding="utf-8"), encoding="utf-8")
    assert EMACS is not None
    done = subprocess.run(
        [EMACS, "--batch", "-l", str(CONFIGURATION)],
        cwd=folder,
        env={**os.environ, "PYTHON": sys.executable, "SCRIPT": str(script), "HOME": str(folder)},
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
    )
    return done.stderr


def test_diagnostics(seen: str) -> None:
    """The finding is at the training call."""
    assert "DIAGNOSTIC 48:1 " in seen
    assert "peak 108.9 GB in the backward pass exceeds the RTX 4090" in seen


def test_hover(seen: str) -> None:
    """The hover over the optimizer's line tells its states."""
    assert "HOVER **optimizer**: adamw_torch" in seen


def test_typing(seen: str) -> None:
    """Two lines that are typed take the finding away."""
    assert "AFTER 0" in seen
