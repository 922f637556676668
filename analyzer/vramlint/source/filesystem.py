"""The file system as neighbours and as the place of documents; only this module of `source` opens files."""

from __future__ import annotations

import stat
from dataclasses import dataclass, field
from pathlib import Path

from vramlint.source import model_configs
from vramlint.source.document import Document
from vramlint.source.issue import Issue, IssueKind, at_top
from vramlint.source.read import NOTEBOOK_LIMIT, TEXT_LIMIT, document, kind_of

# Lock files of large projects reach a few megabytes; a script names a handful of neighbours.
_FILE_LIMIT = 8_000_000
_FILES_LIMIT = 500
_NAMES_LIMIT = 5_000


@dataclass(slots=True)
class FileSystem:
    """Neighbours on disk, from the working directory; bounded in size and count, each file read once."""

    read_files: dict[str, bytes | None] = field(default_factory=dict)

    def read(self, path: str) -> bytes | None:
        """Return the content of a regular file of bounded size."""
        if path not in self.read_files:
            if len(self.read_files) >= _FILES_LIMIT:
                return None
            self.read_files[path] = content(path)
        return self.read_files[path]

    def listing(self, directory: str) -> tuple[str, ...]:
        """Return the names in a directory."""
        try:
            names = sorted(path.name for path in Path(directory or ".").iterdir())
        except (OSError, ValueError):
            return ()
        return tuple(names[:_NAMES_LIMIT])


def content(path: str) -> bytes | None:
    """Return the content of a file, or of a model's kept configuration; None where there is none, or too much."""
    if not path.startswith(model_configs.PREFIX):
        return read_bytes(path, _FILE_LIMIT)
    places = model_configs.candidates(path.removeprefix(model_configs.PREFIX))
    return next(
        (found for place in places if (found := read_bytes(str(place), _FILE_LIMIT)) is not None), None
    )


def load(path: str) -> tuple[Document, tuple[Issue, ...]]:
    """Read one file into a document; what cannot be opened gives a document without cells and an issue."""
    kind = kind_of(path)
    limit = NOTEBOOK_LIMIT if kind == "notebook" else TEXT_LIMIT
    try:
        content = _bytes(path, limit)
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        issue: IssueKind = "too-large" if isinstance(error, _TooLargeError) else "unreadable"
        return Document(path, kind, ()), (Issue(issue, reason, at_top(path)),)
    return document(path, content)


def read_bytes(path: str, limit: int) -> bytes | None:
    """Return the content of a regular file of at most `limit` bytes, else None."""
    try:
        return _bytes(path, limit)
    except (OSError, ValueError):
        return None


class _TooLargeError(ValueError):
    pass


def _bytes(path: str, limit: int) -> bytes:
    """Return a file's content.

    Raises:
        OSError: the file cannot be opened.
        ValueError: it is no regular file (reading a pipe could wait for ever), or too large.
    """
    status = Path(path).stat()
    if not stat.S_ISREG(status.st_mode):
        raise ValueError("not a regular file")
    if status.st_size > limit:
        raise _TooLargeError(f"{status.st_size:,} bytes; files over {limit:,} are not read")
    with Path(path).open("rb") as file:
        return file.read(limit + 1)
