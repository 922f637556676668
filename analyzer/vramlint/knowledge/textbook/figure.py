"""What a rule of thumb says, and why a framework does something else."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class TextbookFigure:
    """A figure of a rule of thumb: bytes from `low` to `high`, equal where the rule gives one number.

    `formula` is the rule with its letters; `differs_because` is one line that says where a framework's
    memory departs from it.
    """

    name: str
    low: int
    high: int
    formula: str
    citation: str
    differs_because: str

    @property
    def bytes(self) -> int:
        """Return the number, or the middle of the range."""
        return (self.low + self.high) // 2


def exactly(name: str, size: int, formula: str, citation: str, differs_because: str) -> TextbookFigure:
    """Return the figure of a rule that gives one number."""
    return TextbookFigure(name, size, size, formula, citation, differs_because)
