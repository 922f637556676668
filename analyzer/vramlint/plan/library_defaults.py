"""Which versions of libraries a script is read for, and the defaults that frameworks have in them."""

from __future__ import annotations

import posixpath
import re
from typing import TYPE_CHECKING, Any

from vramlint.facts.setting import Known, Origin, Setting
from vramlint.knowledge import defaults
from vramlint.knowledge.versions import newest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from vramlint.source.neighbours import Neighbours
    from vramlint.source.parse import Program

LIBRARIES = ("torch", "transformers", "trl", "peft", "accelerate", "lightning")
_PIN = re.compile(
    r"(?:^|[\s\"'=,\[(])(?P<name>[A-Za-z][\w.-]*?)(?:\[[\w,-]+\])?\s*={2,3}\s*v?(?P<version>\d+(?:\.\d+)*)",
    re.MULTILINE,
)
_LOCKED = re.compile(r"name = \"(?P<name>[\w.-]+)\"\s*\nversion = \"(?P<version>[\d.]+)\"")
_FILES = (
    "uv.lock",
    "poetry.lock",
    "requirements.txt",
    "requirements/requirements.txt",
    "pyproject.toml",
    "setup.py",
    "environment.yml",
)
_HIGHEST = 4


def versions(program: Program, neighbours: Neighbours, options: Mapping[str, str]) -> dict[str, Known[str]]:
    """Return the version of each library: from the options, a pin, a lock file above, else the newest known."""
    found: dict[str, Known[str]] = {}
    for name, version in options.items():
        found[name] = Known(version, Origin("override", f"libraries: {name}"))
    for name, version, origin in (*_pinned(program), *_locked(program, neighbours)):
        found.setdefault(name, Known(version, origin))
    for name in LIBRARIES:
        if name not in found:
            found[name] = Known(
                newest(name), Origin("assumed", f"no pin of {name}; its newest known release")
            )
    return {name: found[name] for name in LIBRARIES}


def _pinned(program: Program) -> Iterator[tuple[str, str, Origin]]:
    """Return the pins of a notebook's install lines, and of script metadata in comments."""
    for line in program.shell:
        for match in _PIN.finditer(line.command):
            yield (
                _plain(match["name"]),
                match["version"],
                Origin("source", line.command.strip()[:80], line.span),
            )
    head = program.document.cells[0].text[:4000] if program.document.cells else ""
    block = re.search(r"^# /// script\n(?:#.*\n)*?# ///", head, re.MULTILINE)
    for match in _PIN.finditer(block.group() if block else ""):
        yield (
            _plain(match["name"]),
            match["version"],
            Origin("source", f"{match['name']}=={match['version']} in the script's metadata"),
        )


def _locked(program: Program, neighbours: Neighbours) -> Iterator[tuple[str, str, Origin]]:
    """Return the pins of lock and requirement files beside the script and above it, the nearest first."""
    folder = posixpath.dirname(program.document.path)
    for _ in range(_HIGHEST):
        for name in _FILES:
            path = posixpath.join(folder, name)
            content = neighbours.read(path)
            text = content.decode("utf-8", errors="replace") if content is not None else ""
            for match in (*_LOCKED.finditer(text), *_PIN.finditer(text)):
                yield (
                    _plain(match["name"]),
                    match["version"],
                    Origin("config", f"{path}: {match['name']}=={match['version']}"),
                )
        if folder in {"", "/", "."}:
            return
        folder = posixpath.dirname(folder)


def _plain(name: str) -> str:
    return name.lower().replace("_", "-")


def library_default(known: Mapping[str, Known[str]]) -> Callable[[str, str], Setting[Any] | None]:
    """Return a look-up of the defaults in the given versions; None for a field that a version lacks."""
    beside = {name: version.value for name, version in known.items()}

    fields = {library: frozenset(defaults.fields(library)) for library in ("torch", "transformers", "trl")}

    def look_up(framework: str, field: str) -> Setting[Any] | None:
        library = framework.partition(".")[0]
        name = f"{framework}.{field}".removeprefix(f"{library}.")
        if name not in fields[library]:
            # TRL's configs derive from TrainingArguments: what they do not change is its default.
            derived = library == "trl" and framework.endswith("Config")
            return look_up("transformers.TrainingArguments", field) if derived else None
        found = defaults.default(framework, field, beside.get(library), beside)
        if found.inherits is not None:
            return look_up(found.inherits, field)
        if not found.exists:
            return None
        detail = f"{framework.rpartition('.')[2]}.{field} = {found.value!r} ({found.versions})"
        return Known(found.value, Origin("framework-default", detail))

    return look_up
