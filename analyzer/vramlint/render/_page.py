"""A page of text: lines of pieces with a tone, painted only where the receiver shows colour."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from collections.abc import Iterable

    from vramlint.render.style import Style

Tone = Literal["plain", "strong", "faint", "good", "bad", "doubt", "accent"]

_COLORS: dict[Tone, str] = {
    "plain": "",
    "strong": "bold",
    "faint": "dim",
    "good": "bold green",
    "bad": "bold red",
    "doubt": "bold yellow",
    "accent": "cyan",
}


@dataclass(frozen=True, slots=True)
class Piece:
    """Some text in one tone."""

    text: str
    tone: Tone = "plain"


Line = tuple[Piece, ...]

EMPTY: Line = ()


def line(*parts: str | Piece) -> Line:
    """Make a line of plain strings and pieces."""
    return tuple(Piece(part) if isinstance(part, str) else part for part in parts)


def paint(lines: Iterable[Line], style: Style) -> str:
    """Return the page as one string, without trailing blanks."""
    if style.color:
        return _colored(list(lines), style)
    plain = "\n".join("".join(piece.text for piece in pieces).rstrip() for pieces in lines)
    return plain if style.unicode else _ascii(plain)


def _colored(lines: list[Line], style: Style) -> str:
    from rich.console import Console  # noqa: PLC0415  only a terminal needs it, and it is slow to import
    from rich.text import Text  # noqa: PLC0415

    console = Console(width=max(style.width, 1), force_terminal=True, highlight=False, soft_wrap=True)
    with console.capture() as captured:
        for pieces in lines:
            console.print(Text.assemble(*((piece.text, _COLORS[piece.tone]) for piece in pieces)))
    return captured.get().rstrip("\n")


_PLAIN_SIGNS = str.maketrans("█▏▎▍▌▋▊▉·\u00d7✓✗…—\u2013", "#   ####*x+x~--")


def _ascii(text: str) -> str:
    return text.translate(_PLAIN_SIGNS).encode("ascii", "replace").decode("ascii")


def bar(part: int, whole: int, width: int) -> str:
    """Return a bar of eighths of a block, `width` columns for the whole; anything shows a little."""
    eighths = max(1, round(8 * width * part / whole)) if part > 0 and whole > 0 else 0
    full, rest = divmod(eighths, 8)
    return ("█" * full + (" ▏▎▍▌▋▊▉"[rest] if rest else "")).ljust(width)[:width]


def clip(text: str, width: int) -> str:
    """Cut the text to `width` columns, with an ellipsis where something is lost."""
    if len(text) <= width:
        return text
    return text[: max(width - 1, 0)] + "…" if width > 0 else ""


_UNIT = re.compile(r"(?<=\d) (?=[kMGT]?i?B\b)")


def wrapped(text: str, width: int, indent: str, tone: Tone = "plain") -> list[Line]:
    """Break a sentence into lines of at most `width` columns; a number keeps its unit."""
    from textwrap import wrap  # noqa: PLC0415

    rows = wrap(_UNIT.sub("\N{NO-BREAK SPACE}", text), max(width - len(indent), 20)) or [""]
    return [line(indent, Piece(row.replace("\N{NO-BREAK SPACE}", " "), tone)) for row in rows]
