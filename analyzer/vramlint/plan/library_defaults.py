"""Which versions of libraries a script is read for, and the defaults that frameworks have in them."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any

from vramlint.facts.setting import Known, Origin, Setting
from vramlint.facts.versions import versions_for
from vramlint.knowledge import defaults

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from vramlint.source.neighbours import Neighbours
    from vramlint.source.parse import Program

# What every config of TRL changes, from the same release on.
_COMMON_IN_TRL = {"bf16", "gradient_checkpointing"}
LIBRARIES = ("torch", "transformers", "trl", "peft", "accelerate", "lightning")


def versions(program: Program, neighbours: Neighbours, options: Mapping[str, str]) -> dict[str, Known[str]]:
    """Return the version of each library that a plan names, with who says so."""
    found = versions_for(program, neighbours, options)
    return {name: Known(found[name].text, found[name].origin) for name in LIBRARIES if found[name].text}


@cache
def _fields(library: str) -> frozenset[str]:
    return frozenset(defaults.fields(library)) if library in defaults.frameworks() else frozenset()


def library_default(known: Mapping[str, Known[str]]) -> Callable[[str, str], Setting[Any] | None]:
    """Return a look-up of the defaults in the given versions; None for a field that a version lacks."""
    beside = {name: version.value for name, version in known.items()}

    def _inherited(framework: str, field: str) -> Setting[Any] | None:
        """Return what TRL's configs derive: their common changes are those of SFTConfig, the rest is not changed."""
        if (
            not (framework.startswith("trl.") and framework.endswith("Config"))
            or framework == "trl.ModelConfig"
        ):
            return None
        if framework == "trl.GKDConfig":
            return look_up("trl.SFTConfig", field)
        common = field in _COMMON_IN_TRL and framework != "trl.SFTConfig"
        return look_up("trl.SFTConfig" if common else "transformers.TrainingArguments", field)

    def look_up(framework: str, field: str) -> Setting[Any] | None:
        library = framework.partition(".")[0]
        name = f"{framework}.{field}".removeprefix(f"{library}.")
        if name not in _fields(library):
            return _inherited(framework, field)
        found = defaults.default(framework, field, beside.get(library), beside)
        if found.inherits is not None:
            return look_up(found.inherits, field)
        if not found.exists:
            return None
        detail = f"{framework.rpartition('.')[2]}.{field} = {found.value!r} ({found.versions})"
        return Known(found.value, Origin("framework-default", detail))

    return look_up


def _in_older_release(framework: str, field: str) -> Setting[Any] | None:
    """Return the default of a field that the script reads and the assumed release has no longer."""
    release = defaults.last_release_with(framework, field)
    if release is None:
        return None
    found = defaults.default(framework, field, release)
    detail = f"{framework.rpartition('.')[2]}.{field} = {found.value!r} ({found.versions})"
    return Known(found.value, Origin("framework-default", detail))


def argument_defaults(
    look_up: Callable[[str, str], Setting[Any] | None],
) -> Callable[[tuple[str, ...], str], Setting[Any] | None]:
    """Return a look-up of what a parser gives a field of a library's dataclass that no flag fills."""

    def field(names: tuple[str, ...], name: str) -> Setting[Any] | None:
        for qualified in names:
            library, _, _ = qualified.partition(".")
            owner = f"{library}.{qualified.rpartition('.')[2]}"
            found = look_up(owner, name) or _in_older_release(owner, name)
            if isinstance(found, Known):
                said = f"default of --{name}; {found.origin.detail}"
                none = f"--{name}, which has no default"
                detail = none if found.value is None else said
                return Known(found.value, Origin("argument-default", detail))
        return None

    return field
