"""What stdout can show, and progress on stderr."""

from __future__ import annotations

import os
import shutil
import sys
import time

from vramlint.render.style import Style

_NARROWEST, _WIDEST, _PIPED = 60, 120, 100
_SECONDS_BEFORE_PROGRESS = 1.0


def style(*, timeline: bool = False) -> Style:
    """Return the style for stdout: colour only on a terminal that wants it, width as the terminal's."""
    terminal = sys.stdout.isatty()
    columns = shutil.get_terminal_size((_PIPED, 24)).columns if terminal else _PIPED
    return Style(
        width=min(max(columns, _NARROWEST), _WIDEST),
        color=terminal and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb",
        unicode=(sys.stdout.encoding or "ascii").lower().startswith("utf"),
        timeline=timeline,
    )


def say(text: str) -> None:
    """Write a text to stdout, with the end of its last line."""
    sys.stdout.write(f"{text}\n")


def complain(message: str) -> None:
    """Say on stderr in one line what is wrong."""
    sys.stderr.write(f"vramlint: {message}\n")


class Progress:
    """A line on stderr that counts files; shown only on a terminal, and only once the work takes long."""

    def __init__(self, total: int) -> None:
        self.total = total
        self.begun = time.monotonic()
        self.shown = False

    def step(self, number: int) -> None:
        """Say how far the work is."""
        if not sys.stderr.isatty() or time.monotonic() - self.begun < _SECONDS_BEFORE_PROGRESS:
            return
        sys.stderr.write(f"\r{number} of {self.total} files")
        sys.stderr.flush()
        self.shown = True

    def done(self) -> None:
        """Take the line away."""
        if self.shown:
            sys.stderr.write("\r\033[K")
            sys.stderr.flush()


def say_table(head: tuple[str, ...], rows: list[tuple[str, ...]]) -> None:
    """Write rows in columns as wide as their widest entry."""
    widths = [max(len(row[column]) for row in (head, *rows)) for column in range(len(head))]
    for row in (head, *rows):
        say("  ".join(entry.ljust(width) for entry, width in zip(row, widths, strict=True)).rstrip())
