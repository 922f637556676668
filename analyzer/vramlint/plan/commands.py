"""A command that describes a whole run: its flags, the recipe that it names, and what its script declares."""

from __future__ import annotations

import posixpath
from collections import ChainMap
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from vramlint.facts import arguments
from vramlint.facts.configs import find
from vramlint.facts.launch import Flag, is_told
from vramlint.facts.setting import Known
from vramlint.facts.values import Items, is_scalar
from vramlint.frontends.base import frontends
from vramlint.source.config_file import ConfigFile, Entry

if TYPE_CHECKING:
    from vramlint.facts.evaluate import Evaluator
    from vramlint.facts.launch import Launch
    from vramlint.frontends.base import Context
    from vramlint.frontends.recipe import Recipe

_RECIPES = (".yaml", ".yml", ".json", ".toml")
# Flags with which tools name a recipe.
_NAMING = ("config", "config_file", "conf_file", "cfg")
# Where torchtune keeps the recipes that it names without a suffix.
_TORCHTUNES = "recipes/configs"


def recipes(context: Context, path: str) -> tuple[Recipe, ...]:
    """Return the runs that the context's command describes by itself; `path` is the script or its starter."""
    launch = context.launch
    flags = {name: _flag(name, text) for name, text in launch.flags.items()}
    named = _named(context, launch)
    if named is not None and (launch.tool or "axolotl" in launch.script or _is_of_tool(named)):
        return described(context, named)
    told = ConfigFile(path, flags, launch.tool)
    if launch.tool or _is_of_tool(told):
        return _read(context, told, "recipe")
    declared = _Declared(context.script.evaluator)
    started = _dotted(launch.script or path, is_module=launch.is_module)
    whole: Mapping[str, Entry] = ChainMap(flags, declared)  # type: ignore[arg-type]
    return _read(context, ConfigFile(path, whole, started), "command")


def described(context: Context, file: ConfigFile) -> tuple[Recipe, ...]:
    """Return the runs of a recipe as the context's command starts it: its flags win."""
    launch = context.launch
    flags = {name: _flag(name, text) for name, text in launch.flags.items()}
    return _read(context, ConfigFile(file.path, {**file.entries, **flags}, launch.tool), "recipe")


def _read(context: Context, file: ConfigFile, kind: str) -> tuple[Recipe, ...]:
    found = (getattr(frontend, kind)(context, file) for frontend in frontends())
    return tuple(one for one in found if one is not None)


def _dotted(script: str, *, is_module: bool) -> str:
    """Return a script's path as a module's name."""
    return script if is_module else posixpath.normpath(script).removesuffix(".py").replace("/", ".")


def _is_of_tool(told: ConfigFile) -> bool:
    """Return whether these are arguments of LLaMA-Factory's `train.py`, or of a recipe of torchtune's."""
    return told.has("stage", "model_name_or_path", "do_train") or told.has("model._component_")


def _flag(name: str, text: str) -> Entry:
    flag = text if isinstance(text, Flag) else Flag(text)
    value: Any = [arguments.literal(word) for word in flag.words] if len(flag.words) > 1 else None
    if value is None:
        value = arguments.literal(flag) if flag else True
    return Entry(
        name,
        value if is_told(flag) else f"${{{name}}}",
        flag.span,
        flag.kind,
        arguments.shown_flag(name, flag),
    )


def _named(context: Context, launch: Launch) -> ConfigFile | None:
    """Return the recipe that a command names: by a flag, or as its first word."""
    told = [str(launch.flags[name]) for name in _NAMING if name in launch.flags] + list(launch.positional[:1])
    for name in told:
        ends = ("",) if name.endswith(_RECIPES) else (".yaml",) if launch.tool == "tune run" else ()
        places = (launch.directory, "", _TORCHTUNES) if launch.tool == "tune run" else (launch.directory, "")
        for end in ends:
            for place in dict.fromkeys(places):
                path = posixpath.normpath(posixpath.join(place, f"{name}{end}"))
                file = find(context.script.evaluator.modules.repository, path)
                if file is not None:
                    return file
    return None


class _Declared(Mapping[str, Entry]):
    """The arguments that a script declares with plain defaults; each is evaluated when it is asked for."""

    def __init__(self, evaluator: Evaluator) -> None:
        self.evaluator = evaluator
        self.names = frozenset(arguments.declared_names(evaluator))

    def __getitem__(self, name: str) -> Entry:
        if name not in self.names:
            raise KeyError(name)
        found = arguments.declared(self.evaluator, name)
        if not isinstance(found, Known):
            return Entry(name, None, None)
        value = _plain(self.evaluator, found.value)
        return Entry(name, value, found.origin.span, "argument-default", found.origin.detail)

    def __iter__(self) -> Iterator[str]:
        return iter(sorted(self.names))

    def __len__(self) -> int:
        return len(self.names)


def _plain(evaluator: Evaluator, value: Any) -> Any:
    """Return a scalar, or a list of them; None for anything else."""
    if is_scalar(value):
        return value
    if not isinstance(value, Items):
        return None
    parts = [evaluator.force(part) for part in value.items]
    return [part.value for part in parts if isinstance(part, Known) and is_scalar(part.value)]
