"""Revisions of a git repository as places to read files from; nothing is checked out."""

from __future__ import annotations

import posixpath
import subprocess
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from vramlint.cli.usage import UsageError
from vramlint.source import model_configs
from vramlint.source.filesystem import FileSystem

_LIMIT = 8_000_000


@dataclass(frozen=True, slots=True)
class Moved:
    """A file that a change touches: its path before and after, None where it is not there."""

    before: str | None
    after: str | None


@dataclass(frozen=True)
class Repository:
    """A repository by its top folder; all paths are relative to it, with slashes."""

    top: Path

    def changed(self, base: str, head: str | None) -> tuple[Moved, ...]:
        """Return the files that differ, renamed ones paired; `head` None is the working tree."""
        revisions = [base] if head is None else [base, head]
        words = iter(self.git("diff", "--name-status", "-z", "-M", *revisions, "--").split("\0"))
        return tuple(_moved(status, words) for status in words if status)

    def git(self, *arguments: str) -> str:
        """Return what git prints.

        Raises:
            UsageError: with git's own words where it fails.
        """
        return git(self.top, *arguments).decode(errors="surrogateescape")


@dataclass
class Revision:
    """The files of one commit as neighbours."""

    repository: Repository
    name: str
    known: dict[str, bytes | None] = field(default_factory=dict)

    @cached_property
    def blobs(self) -> dict[str, str]:
        """The object of each file, by path."""
        lines = self.repository.git("ls-tree", "-r", "-z", "--full-tree", self.name).split("\0")
        entries = (line.split("\t", 1) for line in lines if line)
        return {path: kept.split()[2] for kept, path in entries if kept.split()[1] == "blob"}

    @cached_property
    def names(self) -> dict[str, tuple[str, ...]]:
        """The names in each folder."""
        found: dict[str, set[str]] = {}
        for path in self.blobs:
            below = path
            while below:
                folder, name = posixpath.split(below)
                found.setdefault(folder, set()).add(name)
                below = folder
        return {folder: tuple(sorted(names)) for folder, names in found.items()}

    def read(self, path: str) -> bytes | None:
        """Return the content of a file; models' kept configurations are those of this machine."""
        if path not in self.known:
            self.known[path] = self._content(path)
        return self.known[path]

    def listing(self, directory: str) -> tuple[str, ...]:
        """Return the names in a folder; the top one has git's own too, as a checkout has."""
        folder = posixpath.normpath(directory) if directory else ""
        folder = "" if folder == "." else folder
        names = self.names.get(folder, ())
        return names if folder else tuple(sorted((*names, ".git")))

    def _content(self, path: str) -> bytes | None:
        if path.startswith(model_configs.PREFIX):
            return FileSystem().read(path)
        blob = self.blobs.get(posixpath.normpath(path))
        if blob is None:
            return None
        data = git(self.repository.top, "cat-file", "blob", blob)
        return data if len(data) <= _LIMIT else None


@dataclass
class WorkingTree:
    """The files as they are now, by paths from the top of the repository."""

    repository: Repository
    files: FileSystem = field(default_factory=FileSystem)

    def read(self, path: str) -> bytes | None:
        """Return the content of a file."""
        inside = path.startswith(model_configs.PREFIX)
        return self.files.read(path if inside else str(self.repository.top / path))

    def listing(self, directory: str) -> tuple[str, ...]:
        """Return the names in a folder."""
        return self.files.listing(str(self.repository.top / directory))


def repository() -> Repository:
    """Return the repository around the working directory.

    Raises:
        UsageError: where there is none, or no git.
    """
    return Repository(Path(git(Path.cwd(), "rev-parse", "--show-toplevel").decode().rstrip("\n")))


def revision(place: Repository, name: str) -> Revision:
    """Return a commit by any name that git knows.

    Raises:
        UsageError: if git knows none.
    """
    if name.startswith("-"):
        raise UsageError(f"{name}: no revision")
    commit = place.git("rev-parse", "--verify", "--quiet", "--end-of-options", f"{name}^{{commit}}").strip()
    return Revision(place, commit)


def git(folder: Path, *arguments: str) -> bytes:
    """Run git in a folder and return what it prints."""
    try:
        done = subprocess.run(  # noqa: S603  arguments are ours, and revisions never begin with a dash
            ["git", "-C", str(folder), *arguments],  # noqa: S607  the git that the person uses
            capture_output=True,
            check=False,
        )
    except OSError as error:
        raise UsageError(f"git: {error.strerror}") from None
    if done.returncode:
        said = done.stderr.decode(errors="replace").strip().splitlines()
        raise UsageError(said[0] if said else f"git {arguments[0]}: {arguments[-1]}: not found")
    return done.stdout


def _moved(status: str, words: object) -> Moved:
    following = iter(words)  # type: ignore[call-overload]
    first = str(next(following))
    if status[0] in "RC":
        return Moved(first, str(next(following)))
    return Moved(None if status[0] == "A" else first, None if status[0] == "D" else first)
