"""Walking: which files below the paths that a person names are to be checked."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from vramlint.source.filesystem import read_bytes

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from pathspec import GitIgnoreSpec

_SUFFIXES = {".py", ".ipynb"}
_SKIPPED = {"node_modules", "site-packages", "__pycache__", "__pypackages__", "build", "dist", "_build"}
_IGNORE_LIMIT = 1_000_000


@dataclass(frozen=True, slots=True)
class _Ignores:
    """The patterns of one .gitignore and the absolute directory that they are relative to."""

    directory: Path
    spec: GitIgnoreSpec


def walk(paths: Iterable[str]) -> Iterator[str]:
    """Yield the files to check: named files of any kind, and `.py` and `.ipynb` below named directories.

    Below a directory, hidden and build directories, virtual environments and what `.gitignore` files
    ignore are left out, and links to directories are not followed. Each directory is in the order of
    its names, and no file comes twice. Paths that do not exist are yielded as they are: reading says so.
    """
    seen: set[Path] = set()
    for path in paths:
        for file in _files(path):
            real = _real(Path(file))
            if real not in seen:
                seen.add(real)
                yield file


def _files(path: str) -> Iterator[str]:
    root = Path(path)
    if not _is_directory(root):
        yield path
        return
    above = tuple(_ignores_above(root.absolute()))
    # A directory that a person names is wanted, though a file above it may say otherwise.
    if _is_ignored(root.absolute(), "/", above):
        above = ()
    for file in _walk_directory(root, above):
        yield str(file)


def _walk_directory(directory: Path, ignores: tuple[_Ignores, ...]) -> Iterator[Path]:
    ignores = (*ignores, *_ignores_in(directory.absolute()))
    for path in _entries(directory):
        if path.suffix in _SUFFIXES and _is_file(path) and not _is_ignored(path.absolute(), "", ignores):
            yield path
        if _is_walked(path) and not _is_ignored(path.absolute(), "/", ignores):
            yield from _walk_directory(path, ignores)


def _entries(directory: Path) -> list[Path]:
    try:
        return sorted(directory.iterdir())
    except OSError:
        return []


def _real(path: Path) -> Path:
    try:
        return path.resolve()
    except (OSError, RuntimeError, ValueError):  # a loop of links, or a NUL in the name
        return path


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except OSError:
        return False


def _is_directory(path: Path) -> bool:
    try:
        return path.is_dir()
    except OSError:
        return False


def _is_walked(path: Path) -> bool:
    if not _is_directory(path) or path.is_symlink():
        return False
    return not (path.name.startswith(".") or path.name in _SKIPPED or _is_file(path / "pyvenv.cfg"))


def _ignores_above(root: Path) -> Iterator[_Ignores]:
    """Yield the ignore files above `root`, the outermost first, down from the directory that holds `.git`."""
    inside = [root, *root.parents]
    top = next((index for index, directory in enumerate(inside) if (directory / ".git").exists()), 0)
    for directory in reversed(inside[1 : top + 1]):
        yield from _ignores_in(directory)


def _ignores_in(directory: Path) -> Iterator[_Ignores]:
    content = read_bytes(str(directory / ".gitignore"), _IGNORE_LIMIT)
    if content is None:
        return
    from pathspec import GitIgnoreSpec  # noqa: PLC0415  (costs 60 ms, and only some walks need it)

    yield _Ignores(directory, GitIgnoreSpec.from_lines(content.decode(errors="replace").splitlines()))


def _is_ignored(path: Path, ending: str, ignores: tuple[_Ignores, ...]) -> bool:
    """Say whether git would ignore an absolute path: the innermost file with a pattern for it decides.

    `ending` is a slash for directories, which some patterns are meant for alone.
    """
    for ignore in reversed(ignores):
        include = ignore.spec.check_file(path.relative_to(ignore.directory).as_posix() + ending).include
        if include is not None:
            return include
    return False
