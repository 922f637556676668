"""Neovim without a screen: a user's few lines of configuration, and what the editor then shows."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

NEOVIM = shutil.which("nvim")
EXAMPLE = Path(__file__).parents[2] / "examples" / "finetune_llama_trainer.py"
CONFIGURATION = Path(__file__).with_name("neovim.lua")
SECONDS = 60

pytestmark = pytest.mark.skipif(NEOVIM is None, reason="Neovim (nvim) is not installed")


@pytest.fixture(scope="module")
def seen(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """Return what the editor shows of an example, as its script wrote it down."""
    folder = tmp_path_factory.mktemp("neovim")
    script = folder / "train.py"
    script.write_text(EXAMPLE.read_text(encoding="utf-8"), encoding="utf-8")
    answer = folder / "seen.json"
    assert NEOVIM is not None
    done = subprocess.run(
        [NEOVIM, "--headless", "--clean", "-n", "-c", f"luafile {CONFIGURATION}"],
        cwd=folder,
        env=_environment(script, answer),
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
    )
    assert answer.is_file(), done.stderr
    found: dict[str, Any] = json.loads(answer.read_text(encoding="utf-8"))
    return found


def _environment(script: Path, answer: Path) -> dict[str, str]:
    import os  # noqa: PLC0415

    return {**os.environ, "PYTHON": sys.executable, "SCRIPT": str(script), "ANSWER": str(answer)}


def test_diagnostics(seen: dict[str, Any]) -> None:
    """The finding is at the training call, with its rule."""
    (finding,) = seen["diagnostics"]
    assert (finding["lnum"], finding["col"], finding["source"]) == (47, 0, "vramlint")
    assert finding["message"].startswith("peak 108.9 GB in the backward pass exceeds the RTX 4090's 25.4 GB")


def test_typing(seen: dict[str, Any]) -> None:
    """Two lines that are typed take the finding away."""
    assert [] == seen["after"]


def test_hover(seen: dict[str, Any]) -> None:
    """The hover over the model's line tells its parameters."""
    assert "6.74 B parameters" in seen["hover"]


def test_lens(seen: dict[str, Any]) -> None:
    """The lens over the training call tells its peak."""
    assert seen["lens"].startswith("peak 106.2 GB in the backward pass · exceeds RTX 4090")


def test_actions(seen: dict[str, Any]) -> None:
    """The ways out are code actions."""
    assert any(title.startswith("Use gradient checkpointing") for title in seen["actions"])
