"""Defaults of frameworks by version: what a setting is where the script does not say."""

from __future__ import annotations

import json
from dataclasses import dataclass
from difflib import get_close_matches
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING, Any

from vramlint.knowledge.versions import fulfils, newest, release_key

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

Entry = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Default:
    """A default value, the versions that have it, and who says so.

    `exists` is False where that version has no such field. `inherits` names the class of another
    library whose default counts, such as `transformers.TrainingArguments`: ask for the field there,
    with that library's version. `note` says what the value alone does not.
    """

    value: Any
    versions: str
    citation: str
    exists: bool = True
    inherits: str | None = None
    note: str = ""


def default(
    framework: str, field: str, version: str | None, beside: Mapping[str, str] | None = None
) -> Default:
    """Return the default of a field in a version of its library; in the newest known for None.

    `framework` is a library or a part of one, such as `transformers.TrainingArguments`. A few defaults
    depend on the version of another library: `beside` gives those, and the newest known stands in.

    Raises:
        LookupError: for a framework or field that nobody looked up; the line names the nearest one.
    """
    library = framework.split(".", maxsplit=1)[0]
    table = _table(library)
    name = f"{framework}.{field}".removeprefix(f"{library}.")
    if name not in table["fields"]:
        raise LookupError(f"no default of {name!r} in {library}{_nearest(name, table['fields'])}")
    history: list[Entry] = table["fields"][name]
    index = _index(history, version)
    entry = history[index]
    return Default(
        _value(entry, beside or {}),
        _versions(history, index, library, version),
        _citation(entry, table, library),
        exists="absent" not in entry,
        inherits=entry.get("inherits"),
        note=entry.get("note", ""),
    )


def last_release_with(framework: str, field: str) -> str | None:
    """Return a release that has a field which the newest lacks, the last that is known to; else None."""
    library = framework.split(".", maxsplit=1)[0]
    if library not in frameworks():
        return None
    history = _table(library)["fields"].get(f"{framework}.{field}".removeprefix(f"{library}."), ())
    return next((entry["from"] for entry in reversed(history) if "absent" not in entry), None)


def frameworks() -> tuple[str, ...]:
    """Return the libraries whose defaults are known, in order."""
    folder = files(__name__).iterdir()
    names = (file.name.removesuffix(".json") for file in folder if file.name.endswith(".json"))
    return tuple(sorted(name for name in names if name != "releases"))


def fields(library: str) -> tuple[str, ...]:
    """Return the fields of a library whose defaults are known, with the class they belong to.

    Raises:
        LookupError: for a library that nobody looked up.
    """
    return tuple(_table(library)["fields"])


def _index(history: Sequence[Entry], version: str | None) -> int:
    """Return which entry counts: the last that starts at or before the version, else the first."""
    if version is None:
        return len(history) - 1
    key = release_key(version)
    started = [index for index, entry in enumerate(history) if release_key(entry["from"]) <= key]
    return started[-1] if started else 0


def _value(entry: Entry, beside: Mapping[str, str]) -> Any:
    for library, comparison in entry.get("when", {}).items():
        if not fulfils(beside.get(library) or newest(library), comparison):
            return entry["otherwise"]
    return entry.get("value")


def _versions(history: Sequence[Entry], index: int, library: str, version: str | None) -> str:
    """Say which versions have the entry; a start that was only seen in a release says so."""
    entry = history[index]
    conditions = [f"with {other} {comparison}" for other, comparison in entry.get("when", {}).items()]
    parts = [_start(entry, library, version), _end(history, index, library), *conditions]
    return ", ".join(part for part in parts if part)


def _start(entry: Entry, library: str, version: str | None) -> str:
    start = entry["from"]
    if start == "0":
        return f"{library} {version}" if version else library
    if version is not None and release_key(version) < release_key(start):
        return f"{library} {start}, the oldest examined"
    return f"{library} >={start}" if entry.get("exact") else f"{library} >={start} (first seen)"


def _end(history: Sequence[Entry], index: int, library: str) -> str:
    if index + 1 < len(history):
        return f"<{history[index + 1]['from']}"
    try:
        return f"as of {newest(library)}"
    except LookupError:
        return ""


def _citation(entry: Entry, table: Mapping[str, Any], library: str) -> str:
    if "line" in entry:
        return f"{library} {entry['from']}, training_args.py:{entry['line']}"
    return f"{library}, {entry.get('cite') or table['source']}"


def _nearest(name: str, known: Mapping[str, object]) -> str:
    near = get_close_matches(name, known, n=1)
    return f"; the nearest is {near[0]!r}" if near else ""


@cache
def _table(library: str) -> Mapping[str, Any]:
    file = files(__name__).joinpath(f"{library}.json")
    if library == "releases" or not file.is_file():
        raise LookupError(f"no defaults of {library!r} are known; known are {', '.join(frameworks())}")
    table: Mapping[str, Any] = json.loads(file.read_text(encoding="utf-8"))
    return table
