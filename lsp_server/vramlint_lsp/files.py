"""The files around the open documents: what the editor holds unsaved comes before what is on disk."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from vramlint.source import model_configs
from vramlint.source.filesystem import read_bytes

if TYPE_CHECKING:
    from collections.abc import Mapping

# As the command line bounds them.
_FILE_LIMIT = 8_000_000
_FILES_LIMIT = 500
_NAMES_LIMIT = 5_000
_KEPT = 2_000


@dataclass(slots=True)
class Disk:
    """What was read from disk, valid as long as a file's time and size are the same."""

    contents: dict[str, tuple[tuple[int, int], bytes | None]] = field(default_factory=dict)
    names: dict[str, tuple[int, tuple[str, ...]]] = field(default_factory=dict)

    def read(self, path: str) -> bytes | None:
        """Return the content of a regular file of bounded size."""
        try:
            status = os.stat(path)  # noqa: PTH116  called hundreds of times for each keystroke
        except (OSError, ValueError):
            return None
        stamp = (status.st_mtime_ns, status.st_size)
        known = self.contents.get(path)
        if known is None or known[0] != stamp:
            self._bound()
            known = self.contents[path] = (stamp, read_bytes(path, _FILE_LIMIT))
        return known[1]

    def listing(self, directory: str) -> tuple[str, ...]:
        """Return the sorted names in a directory."""
        try:
            stamp = os.stat(directory or ".").st_mtime_ns  # noqa: PTH116  as above
            known = self.names.get(directory)
            if known is None or known[0] != stamp:
                names = tuple(sorted(os.listdir(directory or "."))[:_NAMES_LIMIT])  # noqa: PTH208
                known = self.names[directory] = (stamp, names)
        except (OSError, ValueError):
            return ()
        return known[1]

    def _bound(self) -> None:
        if len(self.contents) >= _KEPT:
            self.contents.clear()


@dataclass(slots=True)
class Files:
    """The neighbours of one analysis, each file looked at once; `touched` are the paths it asked for."""

    disk: Disk
    unsaved: Mapping[str, str]
    touched: set[str] = field(default_factory=set)
    seen: dict[str, bytes | None] = field(default_factory=dict)

    def read(self, path: str) -> bytes | None:
        """Return a file's content; the cache of model configurations answers for its own prefix."""
        if path not in self.seen:
            if len(self.seen) >= _FILES_LIMIT:
                return None
            self.seen[path] = self._content(path)
        return self.seen[path]

    def listing(self, directory: str) -> tuple[str, ...]:
        """Return the names in a directory."""
        self.touched.add(os.path.normpath(directory or "."))
        return self.disk.listing(directory)

    def _content(self, path: str) -> bytes | None:
        if path.startswith(model_configs.PREFIX):
            places = model_configs.candidates(path.removeprefix(model_configs.PREFIX))
            return next((found for place in places if (found := self.disk.read(str(place)))), None)
        self.touched.add(os.path.normpath(path))
        text = self.unsaved.get(os.path.normpath(path))
        return self.disk.read(path) if text is None else text.encode("utf-8", "replace")
