"""Adapters of the PEFT kind: which linear layers they replace, and how they run (peft 0.21, tuners/lora and ia3)."""

from __future__ import annotations

from vramlint.memory.adapters.inject import inject

__all__ = ["inject"]
