"""Launch lines near a script: in shell scripts, READMEs, docstrings, Makefiles and cells, and what they start."""

from __future__ import annotations

import posixpath
import re
from itertools import chain, islice
from pathlib import PurePath
from typing import TYPE_CHECKING

from vramlint.facts.launch import Launch
from vramlint.plan.launch import launches
from vramlint.source.imports import above
from vramlint.source.shell import commands
from vramlint.source.snippets import from_make, snippets, told

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from vramlint.source.document import Document
    from vramlint.source.neighbours import Neighbours
    from vramlint.source.parse import Program

MOST_LAUNCHES = 6
MOST_LINES = 60
MOST_FILES = 120
MOST_DIRECTORIES = 200
_MOST_BYTES = 200_000
_DEEPEST = 3
# What lies at the root of a project.
_MARKS = frozenset(
    {
        ".git",
        "pyproject.toml",
        "setup.py",
        "setup.cfg",
        "requirements.txt",
        "LICENSE",
        "LICENSE.md",
        "README.md",
    }
)
_SHELL = {".sh", ".bash", ".slurm", ".sbatch", ".zsh"}
_TEXTS = {".md", ".rst", ".txt"}
# What the pages are called that say how to train.
_PAGES = (
    "readme",
    "train",
    "finetun",
    "fine_tun",
    "fine-tun",
    "start",
    "usage",
    "guide",
    "tutorial",
    "instruct",
)
# Directories below a project's own in which launch scripts are kept.
_KEPT_IN = {
    "scripts", "script", "examples", "example", "launch", "launcher", "launchers", "bin", "run", "runs", "bash", "sh",
    "experiments", "recipes", "jobs", "slurm", "shell", "train", "training", "cmd", "commands",
    "docs", "doc",
}  # fmt: skip


def near(program: Program, neighbours: Neighbours, path: str) -> tuple[Launch, ...]:
    """Return the launches of the script at `path`, those in its own text first, then the nearest files'."""
    own = (launch for launch in of_program(program) if _is_called(launch, path))
    others = (launch for launch, base in _candidates(neighbours, path) if starts(launch, base, path))
    return _different(chain(own, others))


def _is_called(launch: Launch, path: str) -> bool:
    """Return whether a launch in a script's own text means the script: by its name, wherever it lay before."""
    name = f"{launch.script.replace('.', '/')}.py" if launch.is_module else launch.script
    return posixpath.basename(name) == posixpath.basename(PurePath(path).as_posix())


def naming(neighbours: Neighbours, path: str) -> tuple[Launch, ...]:
    """Return the launches in the files around that hand the configuration file at `path` to what they start."""
    base = posixpath.dirname(PurePath(path).as_posix())
    found = _in_files(neighbours, base, (posixpath.basename(path),))
    return _different(launch for launch, place in found if _names(launch, place, path))


def _different(launches_: Iterable[Launch]) -> tuple[Launch, ...]:
    """Return the launches that say different things, as many as are read."""
    found: dict[object, Launch] = {}
    for launch in launches_:
        key = (
            tuple(sorted(launch.flags.items())),
            launch.positional,
            tuple(sorted(launch.launcher_flags.items())),
        )
        found.setdefault(key, launch)
        if len(found) >= MOST_LAUNCHES:
            break
    return tuple(found.values())


def _names(launch: Launch, base: str, path: str) -> bool:
    """Return whether a word of a launch, written in directory `base`, is a file's path."""
    for word in (*launch.positional, *launch.flags.values()):
        if posixpath.basename(word) == posixpath.basename(path):
            named = Launch(script=word, directory=launch.directory)
            if starts(named, base, path):
                return True
    return False


def starts(launch: Launch, base: str, path: str) -> bool:
    """Return whether a launch, written in directory `base`, starts the script at `path`."""
    return any(posixpath.normpath(place) == posixpath.normpath(path) for place in places(launch, base))


def places(launch: Launch, base: str) -> Iterator[str]:
    """Yield where the script of a launch may lie: from `base` and the directories above it."""
    name = launch.script
    if launch.is_module:
        name = name.replace(".", "/") + ".py"
    # Of a path that begins with a variable or at a root of its own, the end is what can be told.
    if name.startswith(("$", "/")):
        name = re.sub(r"^(?:/|\$\{?\w+\}?/?)", "", name)
    directory = base
    for _ in range(_DEEPEST + 2):
        yield posixpath.join(directory, launch.directory, name)
        # A page may say `cd` to where it lies itself.
        yield posixpath.join(directory, name)
        if launch.is_module:
            yield posixpath.join(directory, "src", name)
        directory = posixpath.normpath(posixpath.join(directory, ".."))


def _candidates(neighbours: Neighbours, path: str) -> Iterator[tuple[Launch, str]]:
    base = posixpath.dirname(PurePath(path).as_posix())
    name = posixpath.basename(path)
    yield from _in_files(neighbours, base, (name, PurePath(name).stem))


def _in_files(neighbours: Neighbours, base: str, names: Sequence[str]) -> Iterator[tuple[Launch, str]]:
    """Yield the launches of the files around a directory that hold one of the names, with their directories."""
    for file in _files(neighbours, base):
        content = neighbours.read(file)
        if content is None or len(content) > _MOST_BYTES:
            continue
        text = content.decode(errors="replace")
        if not any(name in text for name in names):
            continue
        for launch in of_file(file, text):
            yield launch, posixpath.dirname(file)


def _files(neighbours: Neighbours, base: str) -> Iterator[str]:
    """Yield the files that may hold launches, the nearest directory's first."""
    listings = (
        listed for directory in _project(neighbours, base) for listed in _listings(neighbours, directory)
    )
    files = (
        posixpath.join(directory, name)
        for directory, names in islice(listings, MOST_DIRECTORIES)
        for name in sorted(names, key=lambda name: (PurePath(name).suffix not in _SHELL, name))
        if _may_launch(name)
    )
    return islice(files, MOST_FILES)


def _project(neighbours: Neighbours, base: str) -> Sequence[str]:
    """Return the script's directory and those above it that belong to its project: to the highest with a mark of one.

    A script that lies in no project may have thousands of strange directories beside it.
    """
    directories = above(neighbours, base)
    marked = [
        index
        for index, directory in enumerate(directories)
        if _MARKS.intersection(neighbours.listing(directory))
    ]
    return directories[: max(marked, default=0) + 1]


def _listings(
    neighbours: Neighbours, directory: str, depth: int = 0
) -> Iterator[tuple[str, tuple[str, ...]]]:
    """Yield a directory with the names in it, and so on for those below in which launches may be kept."""
    names = neighbours.listing(directory)
    yield directory, names
    if depth == _DEEPEST:
        return
    for name in names:
        if "." not in name and (name in _KEPT_IN or depth > 0):
            yield from _listings(neighbours, posixpath.join(directory, name), depth + 1)


def _may_launch(name: str) -> bool:
    suffix = PurePath(name).suffix.lower()
    is_page = suffix in _TEXTS and any(word in name.lower() for word in _PAGES)
    return suffix in _SHELL or name in {"Makefile", "makefile", "justfile"} or is_page


def of_document(document: Document) -> tuple[Launch, ...]:
    """Return the launches that a shell script, a Makefile or a Markdown page holds."""
    return tuple(launch for cell in document.cells for launch in of_file(document.path, cell.text))


def of_file(path: str, text: str) -> Iterator[Launch]:
    """Yield the launches in a file, by its kind."""
    name = posixpath.basename(path)
    if name.lower() in {"makefile", "justfile"}:
        text = from_make(text)
    elif PurePath(name).suffix.lower() not in _SHELL:
        text = snippets(text)
    for command in commands(text):
        yield from launches(command, path)


def of_program(program: Program) -> Iterator[Launch]:
    """Yield the launches in a script's docstring and comments, and in a notebook's shell lines."""
    path = program.document.path
    for line in program.shell:
        for command in commands(line.command, line.span.start.line):
            yield from launches(command, path, line.span.cell)
    if program.document.kind == "notebook" or not program.cells:
        return
    for text, first in told(program):
        for command in commands(snippets(text), first):
            yield from launches(command, path)
