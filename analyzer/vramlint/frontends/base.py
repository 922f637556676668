"""What a framework's file offers: the trainings it starts, and the settings it reads for a training.

A frontend is a module of this package with one or more of five functions: `trainings(context)` finds
where runs start, `settings(context, training)` reads settings for any training of the script,
`recipe_of(context, file)` reads the run that a configuration file describes, `command_of(context, file)`
the run that the arguments of a command describe, which `file` holds, and `remarks(context, training)` tells the
rules what no setting holds. The loader finds the files by themselves; a file with none of them is a helper.
"""

from __future__ import annotations

import pkgutil
from dataclasses import dataclass, field
from functools import cache
from importlib import import_module
from typing import TYPE_CHECKING, Any, Literal

from vramlint.facts.launch import Launch
from vramlint.facts.setting import Known, Origin, Setting, Unknown

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from vramlint.facts.names import Call
    from vramlint.facts.script import Script
    from vramlint.facts.values import Instance
    from vramlint.frontends.recipe import Recipe
    from vramlint.source.config_file import ConfigFile
    from vramlint.source.spans import Span


@dataclass(frozen=True, slots=True)
class Context:
    """One script and the library versions it is read for; `world_size` is what the options say of GPUs.

    `launch` is the command that starts the script, an empty one where none is known.
    """

    script: Script
    versions: Mapping[str, Known[str]]
    default: Callable[[str, str], Setting[Any] | None]
    world_size: Known[int] | None = None
    launch: Launch = field(default_factory=Launch)


@dataclass(frozen=True, slots=True, eq=False)
class Training:
    """One run as its own framework sees it: where it starts, what it trains, what it says of settings."""

    framework: str
    call: Call
    model: Setting[Any] | None
    kind: Literal["train", "inference"] = "train"
    arguments: Instance | None = None
    trainer: Instance | None = None
    settings: Mapping[str, Setting[Any]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Remark:
    """What a frontend saw in the text and no setting holds: the rule that may speak of it, where, and what of.

    `related` is a further place that has to do with it.
    """

    rule: str
    message: str
    span: Span
    related: Origin | None = None


@dataclass(frozen=True, slots=True)
class Frontend:
    """One framework's file."""

    name: str
    trainings: Callable[[Context], Iterable[Training]]
    settings: Callable[[Context, Training], Mapping[str, Setting[Any]]]
    recipe: Callable[[Context, ConfigFile], Recipe | None]
    command: Callable[[Context, ConfigFile], Recipe | None]
    remarks: Callable[[Context, Training], Iterable[Remark]]


def _no_remarks(_context: Context, _training: Training) -> tuple[Remark, ...]:
    return ()


def _no_recipe(_context: Context, _file: ConfigFile) -> None:
    return None


def _no_trainings(_context: Context) -> Iterator[Training]:
    return iter(())


def _no_settings(_context: Context, _training: Training) -> Mapping[str, Setting[Any]]:
    return {}


@cache
def frontends() -> tuple[Frontend, ...]:
    """Return every framework's frontend, by name."""
    package = import_module("vramlint.frontends")
    found = []
    for module in sorted(pkgutil.iter_modules(package.__path__), key=lambda module: module.name):
        code = import_module(f"vramlint.frontends.{module.name}")
        trainings, settings = getattr(code, "trainings", None), getattr(code, "settings", None)
        recipe, command = getattr(code, "recipe_of", None), getattr(code, "command_of", None)
        remarks = getattr(code, "remarks", None)
        if trainings or settings or recipe or command or remarks:
            parts = (
                trainings or _no_trainings,
                settings or _no_settings,
                recipe or _no_recipe,
                command or _no_recipe,
                remarks or _no_remarks,
            )
            found.append(Frontend(module.name, *parts))
    return tuple(found)


def settled(setting: Setting[Any] | None, flag: str) -> Setting[Any] | None:
    """Turn an argument that nobody gives, or whose default is a placeholder, into an unknown that says so."""
    if not isinstance(setting, Known):
        return setting
    value, origin = setting.value, setting.origin
    if value is None and origin.kind == "argument-default":
        said = origin.detail.removeprefix("default of ")
        said = said if "no default" in said else f"{said}, which has no default"
        return Unknown(f"comes from {said}; name it with --set {flag}=… or --launch", origin)
    if isinstance(value, str) and is_placeholder(value):
        return Unknown(f"{value!r} is a placeholder; name it with --set {flag}=… or --launch", origin)
    return setting


def is_placeholder(text: str) -> bool:
    """Return whether a text stands for a name that the user has to fill in."""
    lowered = text.lower()
    return not text.strip() or any(
        part in lowered
        for part in ("path/to", "path_to", "your-", "your_", "/path", "<", "todo", "xxx", "...")
    )


def assumed(value: object, detail: str) -> Known[Any]:
    """Return a value that is taken for granted, and why."""
    return Known(value, Origin("assumed", detail))
