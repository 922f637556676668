"""Which versions of libraries a script is read for, and the defaults that frameworks have in them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from vramlint.facts.setting import Known, Origin, Setting
from vramlint.facts.versions import versions_for
from vramlint.knowledge import defaults

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from vramlint.source.neighbours import Neighbours
    from vramlint.source.parse import Program

LIBRARIES = ("torch", "transformers", "trl", "peft", "accelerate", "lightning")


def versions(program: Program, neighbours: Neighbours, options: Mapping[str, str]) -> dict[str, Known[str]]:
    """Return the version of each library that a plan names, with who says so."""
    found = versions_for(program, neighbours, options)
    return {name: Known(found[name].text, found[name].origin) for name in LIBRARIES if found[name].text}


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
