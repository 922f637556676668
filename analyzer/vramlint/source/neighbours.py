"""Neighbours: the files beside a script, read through a hand that the caller holds."""

from __future__ import annotations

import posixpath
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from vramlint.source.magics import WrittenFile


class Neighbours(Protocol):
    """Reads files near a script; paths are relative to what the script's own path is relative to."""

    def read(self, path: str) -> bytes | None:
        """Return a file's content; None where there is no such file or it is too large to be of use."""

    def listing(self, directory: str) -> tuple[str, ...]:
        """Return the sorted names in a directory, nothing where there is none; "" is the current one."""


@dataclass(frozen=True, slots=True)
class InMemory:
    """Neighbours out of a mapping from path to content."""

    files: Mapping[str, str | bytes] = field(default_factory=dict)

    def read(self, path: str) -> bytes | None:
        """Return the content of a file in the mapping."""
        content = self.files.get(path, self.files.get(posixpath.normpath(path)))
        return content.encode() if isinstance(content, str) else content

    def listing(self, directory: str) -> tuple[str, ...]:
        """Return the first parts of all paths below `directory`."""
        prefix = posixpath.normpath(directory) + "/" if directory not in {"", "."} else ""
        below = (path.removeprefix(prefix) for path in self.files if path.startswith(prefix))
        return tuple(sorted({path.split("/", 1)[0] for path in below if not path.startswith(("/", "../"))}))


@dataclass(frozen=True, slots=True)
class Overlay:
    """Two neighbours in one: what `above` has hides what `below` has."""

    above: Neighbours
    below: Neighbours

    def read(self, path: str) -> bytes | None:
        """Return the content of the first that has the file."""
        content = self.above.read(path)
        return self.below.read(path) if content is None else content

    def listing(self, directory: str) -> tuple[str, ...]:
        """Return the names of both."""
        return tuple(sorted({*self.above.listing(directory), *self.below.listing(directory)}))


def with_written(neighbours: Neighbours, written: Iterable[WrittenFile], directory: str = "") -> Neighbours:
    """Lay the files that a notebook's `%%writefile` cells make over `neighbours`."""
    files: dict[str, str] = {}
    for file in written:
        path = posixpath.normpath(posixpath.join(directory, file.name))
        files[path] = files.get(path, "") + file.text if file.appends else file.text
    return Overlay(InMemory(files), neighbours) if files else neighbours
