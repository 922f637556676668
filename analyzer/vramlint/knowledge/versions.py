"""Versions of libraries: how they compare, and which releases are known."""

from __future__ import annotations

import json
import re
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

_COMPARISON = re.compile(r"\s*(>=|<=|==|>|<)\s*(\S+)\s*")


def one_release(text: str) -> str:
    """Return a text that is one version, such as 2.6.0; raises ValueError for a range or anything else."""
    if not re.match(r"\d+(\.|$)", text):
        raise ValueError("should be a version such as 2.6.0")
    return text


def newest(library: str) -> str:
    """Return the newest release that is known of a library, by its PyPI name.

    Raises:
        LookupError: for a library whose releases are not listed.
    """
    return releases(library)[-1]


# The last transformers that came out before the next torch did (PyPI).
_TRANSFORMERS_BESIDE_TORCH = {
    (1, 13): "4.26.1",
    (2, 0): "4.34.0",
    (2, 1): "4.37.2",
    (2, 2): "4.39.3",
    (2, 3): "4.42.4",
    (2, 4): "4.45.2",
    (2, 5): "4.48.2",
    (2, 6): "4.51.3",
    (2, 7): "4.54.1",
    (2, 8): "4.57.1",
}


def newest_beside(library: str, torch: str | None) -> str:
    """Return the newest release that is known of a library, or that was when this torch was current.

    Raises:
        LookupError: for a library whose releases are not listed.
    """
    if torch is None or library != "transformers":
        return newest(library)
    major, minor, *_ = release_key(torch)
    return _TRANSFORMERS_BESIDE_TORCH.get((major, minor), newest(library))


def releases(library: str) -> tuple[str, ...]:
    """Return the last patch of each minor release, in rising order.

    Raises:
        LookupError: for a library whose releases are not listed.
    """
    try:
        return tuple(_releases()[library])
    except KeyError:
        raise LookupError(f"no releases of {library} are listed") from None


def known_libraries() -> tuple[str, ...]:
    """Return the PyPI names of the libraries whose releases are listed, in order."""
    return tuple(sorted(_releases()))


def release_key(version: str) -> tuple[int, ...]:
    """Return the numbers by which releases compare; suffixes such as `.dev0` or `+cu121` do not count."""
    numbers = re.match(r"v?(\d+(?:\.\d+)*)", version.strip())
    parts = [int(part) for part in numbers[1].split(".")] if numbers else []
    return tuple([*parts, 0, 0, 0][: max(3, len(parts))])


def fulfils(version: str, comparison: str) -> bool:
    """Say whether a version fulfils one comparison such as `>=2.8`.

    Raises:
        ValueError: if the text is no comparison.
    """
    match = _COMPARISON.fullmatch(comparison)
    if match is None:
        raise ValueError(f"{comparison!r} is no comparison")
    left, right = release_key(version), release_key(match[2])
    return {
        ">=": left >= right,
        "<=": left <= right,
        "==": left == right,
        ">": left > right,
        "<": left < right,
    }[match[1]]


@cache
def _releases() -> Mapping[str, list[str]]:
    text = files("vramlint.knowledge.defaults").joinpath("releases.json").read_text(encoding="utf-8")
    content: Mapping[str, Any] = json.loads(text)
    listed: Mapping[str, list[str]] = content["releases"]
    return listed
