"""The cache of checks: what one file gave, kept while nothing that was read for it has changed.

A store holds the entries of one folder, version and format. An entry says which files and folders its check read,
with a digest of their content, so that it holds only where all of them are as they were; times of files are not
looked at. A store is written to a temporary file and moved into place: of two runs at once the last one wins, and
what is lost is only checked again.
"""

from __future__ import annotations

import json
import os
import sys
import time
from contextlib import suppress
from dataclasses import dataclass, field
from hashlib import blake2b
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import TYPE_CHECKING, Any

import vramlint
from vramlint.source.filesystem import FileSystem, content, read_bytes
from vramlint.source.read import NOTEBOOK_LIMIT

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

_MOST_ENTRIES = 50_000
_KEPT_SECONDS = 30 * 24 * 3600
_NOTHING = "-"


@dataclass(slots=True)
class Recorder:
    """Neighbours on disk that remember what was asked of them."""

    files: FileSystem = field(default_factory=FileSystem)
    folders: dict[str, tuple[str, ...]] = field(default_factory=dict)

    def read(self, path: str) -> bytes | None:
        """Return the content of a file."""
        return self.files.read(path)

    def listing(self, directory: str) -> tuple[str, ...]:
        """Return the names in a directory."""
        if directory not in self.folders:
            self.folders[directory] = self.files.listing(directory)
        return self.folders[directory]

    def seen(self) -> dict[str, dict[str, str]]:
        """Return a digest of each file and folder that was read."""
        return {
            "read": {path: digest(data) for path, data in self.files.read_files.items()},
            "listed": {path: _names_digest(names) for path, names in self.folders.items()},
        }


class Disk:
    """Digests of what is on disk now, each worked out once."""

    def __init__(self) -> None:
        self._files = FileSystem()
        self._known: dict[tuple[str, str], str] = {}

    def holds(self, entry: Mapping[str, Any], path: str) -> bool:
        """Say whether all that an entry was made of is as it was."""
        return (
            entry["own"] == self.own(path)
            and all(was == self._read(one) for one, was in entry["read"].items())
            and all(was == self._listed(one) for one, was in entry["listed"].items())
        )

    def own(self, path: str) -> str:
        """Return the digest of a checked file."""
        return self._once("own", path, lambda: digest(read_bytes(path, NOTEBOOK_LIMIT)))

    def _read(self, path: str) -> str:
        return self._once("read", path, lambda: digest(content(path)))

    def _listed(self, path: str) -> str:
        return self._once("listed", path, lambda: _names_digest(self._files.listing(path)))

    def _once(self, kind: str, path: str, make: Any) -> str:
        if (kind, path) not in self._known:
            self._known[kind, path] = make()
        return self._known[kind, path]


@dataclass(slots=True)
class Store:
    """The entries of one folder, version and format; `file` is None where nothing can be kept."""

    file: Path | None
    entries: dict[str, Any]
    disk: Disk = field(default_factory=Disk)
    fresh: dict[str, Any] = field(default_factory=dict)

    def find(self, path: str, settings: str) -> Mapping[str, Any] | None:
        """Return what the check of a file gave under these settings; None where it has to be checked."""
        entry = self.entries.get(path)
        if entry is None or entry["settings"] != settings or not self.disk.holds(entry, path):
            return None
        result: Mapping[str, Any] = entry["result"]
        return result

    def keep(self, path: str, settings: str, seen: Mapping[str, Any], result: Mapping[str, Any]) -> None:
        """Remember what a check gave; `seen` is what it read, its own content included."""
        self.fresh[path] = {"settings": settings, **seen, "result": result}

    def save(self) -> None:
        """Write the new entries beside those that another run may have written meanwhile."""
        if self.file is None or not self.fresh:
            return
        entries = {**_entries(self.file), **self.fresh}
        entries = dict(list(entries.items())[-_MOST_ENTRIES:])
        with suppress(OSError):
            self.file.parent.mkdir(parents=True, exist_ok=True)
            _replace(self.file, json.dumps({"entries": entries}))
            _forget_old(self.file.parent)


def open_store(*ways: object) -> Store:
    """Return the store of the working directory for one way to check: a format and what it is told."""
    folder = _folder(os.environ)
    if folder is None:
        return Store(None, {})
    name = digest("\0".join([str(Path.cwd()), _version(), *map(str, ways)]).encode())
    file = folder / f"{name}.json"
    return Store(file, _entries(file))


def digest(data: bytes | None) -> str:
    """Return a name for content; a file that is not there has one too."""
    return _NOTHING if data is None else blake2b(data, digest_size=16).hexdigest()


def _names_digest(names: tuple[str, ...]) -> str:
    """Return a digest of a folder's names, without the folders that other tools leave and no check looks into."""
    kept = (
        name for name in names if name != "__pycache__" and not (name[0] == "." and name.endswith("_cache"))
    )
    return digest("\0".join(kept).encode(errors="surrogateescape"))


def _folder(environment: Mapping[str, str]) -> Path | None:
    if root := environment.get("XDG_CACHE_HOME"):
        return Path(root) / "vramlint" / "checks"
    home = environment.get("HOME") or environment.get("USERPROFILE")
    return Path(home) / ".cache" / "vramlint" / "checks" if home else None


def _version() -> str:
    """Return what changes with the program: its version, Python's, and the state of its own files."""
    told = [f"{name} {size} {changed}" for name, size, changed in sorted(_own_files())]
    return "\0".join([vramlint.__version__, sys.version, *told])


def _own_files() -> Iterator[tuple[str, int, int]]:
    folders = [str(Path(vramlint.__file__).parent)]
    while folders:
        with os.scandir(folders.pop()) as entries:
            for entry in entries:
                if entry.name == "__pycache__":
                    continue
                if entry.is_dir():
                    folders.append(entry.path)
                else:
                    status = entry.stat()
                    yield entry.path, status.st_size, status.st_mtime_ns


def _entries(file: Path) -> dict[str, Any]:
    try:
        entries = json.loads(file.read_bytes())["entries"]
    except (OSError, ValueError, KeyError, TypeError):  # none yet, or broken by who knows what
        return {}
    return entries if isinstance(entries, dict) else {}


def _replace(file: Path, text: str) -> None:
    with NamedTemporaryFile("w", dir=file.parent, suffix=".new", delete=False, encoding="utf-8") as temporary:
        temporary.write(text)
    Path(temporary.name).replace(file)


def _forget_old(folder: Path) -> None:
    for file in folder.iterdir():
        if time.time() - file.stat().st_mtime > _KEPT_SECONDS:
            file.unlink(missing_ok=True)
