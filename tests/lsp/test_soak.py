"""A short session of random edits: the long one is `python -m benchmarks.lsp.soak`."""

from __future__ import annotations

from benchmarks.lsp.__main__ import SCRIPT
from benchmarks.lsp.soak import soak


def test_random_edits() -> None:
    """After bursts of edits the findings are those of a fresh analysis, and nothing has failed."""
    wrong = [line for line in soak(SCRIPT.read_text(encoding="utf-8"), 300, 6) if "memory" not in line]
    assert [] == wrong
