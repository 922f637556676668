"""Looking up one line of a sorted text file without reading the rest.

The first field of a line, up to a tab, is its key; lines are sorted by the bytes of their keys.
Bisection in a memory map touches a dozen pages of a file of megabytes; nothing needs an index that
could go stale.
"""

from __future__ import annotations

from mmap import ACCESS_READ, mmap
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path


def lookup(file: Path, key: str) -> list[str] | None:
    """Return the fields behind the key, or None if no line has it."""
    wanted = key.encode()
    with file.open("rb") as opened, mmap(opened.fileno(), 0, access=ACCESS_READ) as table:
        low, high = 0, len(table)
        while low < high:
            start = table.rfind(b"\n", low, (low + high) // 2) + 1 or low
            end = table.find(b"\n", start)
            found, _, rest = table[start:end].partition(b"\t")
            if found == wanted:
                return rest.decode().split("\t")
            low, high = (end + 1, high) if found < wanted else (low, start)
    return None


def keys(file: Path) -> list[str]:
    """Return all keys, in the order of the file."""
    lines = file.read_text(encoding="utf-8").splitlines()
    return [line.partition("\t")[0] for line in lines]
