"""Versions: which release of each library a script runs with, and who says so."""

from __future__ import annotations

import posixpath
from dataclasses import dataclass
from pathlib import PurePath
from typing import TYPE_CHECKING

from vramlint.facts.setting import Origin
from vramlint.knowledge.defaults import frameworks
from vramlint.knowledge.versions import known_libraries, newest, release_key, releases
from vramlint.source.neighbours import with_written
from vramlint.source.requirements import Pin, file_order, from_command, from_file, from_inline_metadata
from vramlint.source.spans import Position, Span

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from packaging.specifiers import SpecifierSet

    from vramlint.source.neighbours import Neighbours
    from vramlint.source.parse import Program

# How far above a script its project may begin, where no `.git` says.
_LEVELS = 4


@dataclass(frozen=True, slots=True)
class Version:
    """A version of a library and where it was read; the text is empty where no release is listed."""

    text: str
    origin: Origin


@dataclass(frozen=True, slots=True)
class _Claim:
    pin: Pin
    origin: Origin


def versions_for(
    program: Program, neighbours: Neighbours, options: Mapping[str, str]
) -> Mapping[str, Version]:
    """Return the version of every library that the catalogue of defaults knows.

    The project's option comes first, then the script's own pins (the last of them counts), then
    those of the nearest directory above it, and else the newest release known. Where a pin is a
    range, the newest known release inside it is taken, and the origin says so.
    """
    libraries = sorted({*frameworks(), *known_libraries()})
    open_libraries = set(libraries) - set(options)
    found = {name: _stated(name, text) for name, text in options.items()}
    for claim in (*reversed(tuple(_script_claims(program))), *_file_claims(program, neighbours)):
        if claim.pin.library in open_libraries and (version := _settled(claim)):
            found[claim.pin.library] = version
            open_libraries.remove(claim.pin.library)
    return {library: found.get(library) or _newest(library) for library in libraries}


def _stated(library: str, text: str) -> Version:
    return Version(text, Origin("override", f"libraries: {library} {text}"))


def _newest(library: str) -> Version:
    try:
        text = newest(library)
    except LookupError:
        return Version("", Origin("assumed", f"{library}: no release is listed"))
    return Version(text, Origin("assumed", f"newest known, {text}"))


def _script_claims(program: Program) -> Iterator[_Claim]:
    """Yield what the script's metadata block and its shell lines ask for, in the order of the text."""
    path = program.document.path
    for cell in program.document.cells:
        if cell.kind == "code" and "# /// script" in cell.text:
            for pin in from_inline_metadata(cell.text):
                place = Span(path, Position(pin.line, 0), Position(pin.line, 0), cell.index)
                yield _Claim(pin, Origin("source", pin.text, place))
    for line in program.shell:
        for pin in from_command(line.command):
            yield _Claim(pin, Origin("source", line.command, line.span))


def _file_claims(program: Program, neighbours: Neighbours) -> Iterator[_Claim]:
    """Yield what files ask for, the nearest directory first and the most exact file first in each."""
    directory = posixpath.dirname(PurePath(program.document.path).as_posix())
    near = with_written(neighbours, program.written, directory)
    for _ in range(_LEVELS + 1):
        names = near.listing(directory)
        for name in file_order(names):
            path = posixpath.join(directory, name)
            for pin in _pins(near, path, name):
                place = Span(path, Position(pin.line, 0), Position(pin.line, 0))
                yield _Claim(pin, Origin("config", f"{path}: {pin.text}", place))
        above = posixpath.normpath(posixpath.join(directory, ".."))
        if ".git" in names or above == directory:
            return
        directory = above


def _pins(neighbours: Neighbours, path: str, name: str) -> tuple[Pin, ...]:
    content = neighbours.read(path)
    return () if content is None else from_file(name, content.decode(errors="replace"))


def _settled(claim: _Claim) -> Version | None:
    """Return the one release that a claim comes to; None where it allows none or is no PEP 440 text."""
    from packaging.specifiers import InvalidSpecifier, SpecifierSet  # noqa: PLC0415  56 ms, and rarely needed

    try:
        specifiers = SpecifierSet(claim.pin.specifier)
    except InvalidSpecifier:
        return None
    if exact := [one.version for one in specifiers if "==" in one.operator and "*" not in one.version]:
        return Version(exact[0], claim.origin)
    allowed = [
        version for version in _candidates(claim.pin.library, specifiers) if specifiers.contains(version)
    ]
    if not allowed:
        return None
    text = max(allowed, key=release_key)
    detail = f"{claim.origin.detail}; {text} is the newest known release that this allows"
    return Version(text, Origin(claim.origin.kind, detail, claim.origin.span))


def _candidates(library: str, specifiers: SpecifierSet) -> list[str]:
    """Return the releases known and those that the range itself names, for libraries without a list."""
    named = [one.version.removesuffix(".*") for one in specifiers]
    try:
        return [*releases(library), *named]
    except LookupError:
        return named
