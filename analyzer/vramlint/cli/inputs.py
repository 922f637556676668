"""Which files a command reads, and reading one of them; a wrong path is a line for the person."""

from __future__ import annotations

import sys
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from vramlint.cli.usage import UsageError
from vramlint.settings import did_you_mean
from vramlint.source import filesystem, read
from vramlint.source.walk import walk

if TYPE_CHECKING:
    from collections.abc import Sequence

    from vramlint.source.document import DocumentKind

STDIN = "-"


def files(paths: Sequence[str]) -> tuple[list[str], list[str]]:
    """Return the files to read, in the order of the command line, and a line for each path that is wrong."""
    found: dict[str, None] = {}
    errors = []
    for path in paths:
        try:
            found.update(dict.fromkeys(_files(path)))
        except UsageError as error:
            errors.append(str(error))
    return list(found), errors


def load(path: str) -> read.Read:
    """Read one file, or stdin for `-`; what cannot be read is an issue."""
    if path != STDIN:
        return filesystem.load(path)
    data = stdin()
    return read.document(STDIN, data, _kind(data))


@cache
def stdin() -> bytes:
    """Return what stdin holds; it can be read only once."""
    return sys.stdin.buffer.read()


def _kind(data: bytes) -> DocumentKind:
    """Return what stdin holds: a notebook is known by its brace and its cells."""
    return "notebook" if data.lstrip()[:1] == b"{" and b'"cells"' in data else "script"


def _files(path: str) -> list[str]:
    if path == STDIN:
        return [path]
    if Path(path).is_symlink() and not Path(path).exists():
        raise UsageError(f"{path}: a link that leads nowhere")
    if not path or not Path(path).exists():
        raise UsageError(f"{path}: no such file or folder{_nearest(Path(path))}")
    scripts = list(walk([path]))
    if not scripts:
        raise UsageError(f"{path}: no scripts or notebooks (.py, .ipynb) in this folder")
    return scripts


def _nearest(path: Path) -> str:
    try:
        names = sorted(entry.name for entry in path.parent.iterdir())
    except OSError:
        return ""
    hint = did_you_mean(path.name, names)
    return hint if "did you mean" in hint else ""
