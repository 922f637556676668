"""Tasks: which of them a decoder's language-modelling head serves."""

from __future__ import annotations

from vramlint.memory.families.base import UnsupportedTask

LANGUAGE_MODELLING = frozenset({"causal-lm", "dpo"})


def require_language_modelling(task: str) -> None:
    """Raise UnsupportedTask for a task that needs another head."""
    if task not in LANGUAGE_MODELLING:
        raise UnsupportedTask(task)
