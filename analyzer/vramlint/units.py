"""Bytes as a person reads them: GB is 10⁹ bytes, GiB is 2³⁰, and one line never mixes them."""

from __future__ import annotations

_DECIMAL = ((10**12, "TB"), (10**9, "GB"), (10**6, "MB"), (10**3, "kB"))


def gigabytes(size: int) -> str:
    """Return bytes with one decimal in the largest decimal unit that they fill, such as `62.6 GB`."""
    for unit, name in _DECIMAL:
        if abs(size) >= unit:
            return f"{size / unit:.1f} {name}"
    return f"{size} B"


def gibibytes(size: int) -> str:
    """Return bytes in binary units with one decimal, such as `58.3 GiB`."""
    return f"{size / 2**30:.1f} GiB"


def count(number: int) -> str:
    """Return a count of parameters, such as `6.74 B` or `124 M`."""
    if number >= 10**9:
        return f"{number / 10**9:.2f} B"
    if number >= 10**6:
        return f"{number / 10**6:.0f} M"
    return f"{number:,}"
