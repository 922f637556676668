"""How a rendering should look: facts about where it goes, decided by the caller."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Style:
    """`width` is in columns; `color` and `unicode` say what the receiver can show; `timeline` asks for it."""

    width: int = 100
    color: bool = False
    unicode: bool = True
    timeline: bool = False
