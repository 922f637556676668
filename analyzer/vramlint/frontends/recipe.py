"""A training that a configuration file describes: axolotl's, LLaMA-Factory's, torchtune's and TRL's recipes."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from vramlint.facts.launch import is_rooted
from vramlint.facts.setting import Known, Origin, Setting, Unknown
from vramlint.frontends import deepspeed
from vramlint.frontends.dtypes import short_dtype
from vramlint.frontends.world import sharded as over_gpus

if TYPE_CHECKING:
    from collections.abc import Mapping

    from vramlint.frontends.base import Context
    from vramlint.source.config_file import ConfigFile, Entry
    from vramlint.source.spans import Span


_INTERPOLATION = re.compile(r"\$\{([\w.]+)\}")


@dataclass(frozen=True, slots=True)
class Recipe:
    """One run: the plan's framework, the frameworks that take part, where it begins, and its settings."""

    framework: str
    names: tuple[str, ...]
    span: Span | None
    settings: Mapping[str, Setting[Any]] = field(default_factory=dict)
    kind: Literal["train", "inference"] = "train"


class Fields:
    """Reads the fields of a recipe, with the defaults of the tool that runs it."""

    def __init__(self, context: Context, file: ConfigFile, tool: str) -> None:
        self.context = context
        self.file = file
        self.tool = tool

    def given(self, *names: str) -> Known[Any] | None:
        """Return the first field that the file gives a value, null counting as none."""
        for name in names:
            entry = self.file.entry(name)
            if entry is not None and entry.value is not None:
                return Known(self.filled(entry.value), _origin(entry))
        return None

    def filled(self, value: Any) -> Any:
        """Return what `${other.key}` stands for, where that key is given; any other value as it is."""
        meant = _INTERPOLATION.fullmatch(value) if isinstance(value, str) else None
        entry = self.file.entry(meant[1]) if meant is not None else None
        return value if entry is None or entry.value is None else entry.value

    def field(self, *names: str) -> Setting[Any] | None:
        """Return a field: given, else the tool's default."""
        found = self.given(*names)
        if found is not None:
            return found
        defaults = (self.context.default(self.tool, name) for name in names)
        return next((one for one in defaults if one is not None), None)

    def value(self, *names: str) -> Any:
        """Return the plain value of a field, None where nothing says one."""
        found = self.field(*names)
        return found.value if isinstance(found, Known) else None

    def on(self, name: str) -> Known[Any] | None:
        """Return a switch that is given and on."""
        found = self.given(name)
        return found if found is not None and found.value is True else None

    def origin(self, name: str) -> Origin:
        """Return the origin of a field that is given, else of the file's first line."""
        found = self.given(name)
        return found.origin if found is not None else Origin("config", self.file.path, self.top())

    def top(self) -> Span | None:
        """Return the place where the first key stands."""
        return next((entry.span for entry in self.file.entries.values()), None)

    def begin(self, name: str) -> Span | None:
        """Return the place of a field, else that of the first key."""
        found = self.given(name)
        return found.origin.span if found is not None and found.origin.span is not None else self.top()

    def default(self, value: object, why: str) -> Known[Any]:
        """Return a value that the tool takes by itself."""
        return Known(value, Origin("framework-default", f"{self.tool}: {why}"))


def _origin(entry: Entry) -> Origin:
    shown = entry.value if not isinstance(entry.value, dict | list) else "…"
    return Origin(entry.kind, entry.shown or f"{entry.key}: {shown}", entry.span)


def model(fields: Fields, *names: str) -> Setting[Any]:
    """Return the model that a field names."""
    found = fields.given(*names)
    if found is None or not isinstance(found.value, str):
        why = f"the recipe does not say {names[0]}; name it with --set model=…"
        return Unknown(why, fields.origin(names[0]))
    if "$" in found.value and not is_rooted(found.value):
        return Unknown(
            f"{found.origin.detail} is filled in by the run; name it with --set model=…", found.origin
        )
    return Known({"id": found.value}, found.origin)


def optimizer(found: Setting[Any] | None) -> Setting[Any]:
    """Return an optimizer by the name that a field gives."""
    if isinstance(found, Known) and isinstance(found.value, str):
        return Known({"name": found.value}, found.origin)
    return Unknown("the recipe names no optimizer; name it with --set optimizer=…")


def dtype(found: Known[Any] | None) -> Setting[Any] | None:
    """Return a dtype by its name."""
    if found is None:
        return None
    short = short_dtype(found.value)
    return (
        Known(short, found.origin)
        if short
        else Unknown(f"the dtype {found.value!r} is not known", found.origin)
    )


def length(found: Setting[Any] | None, name: str) -> Setting[Any]:
    """Return a length in tokens."""
    if isinstance(found, Known) and isinstance(found.value, int):
        return found
    why = f"{name} is not given: the longest sample decides; name it with --set sequence_length=…"
    return Unknown(why, found.origin if isinstance(found, Known) else None)


def names_of_modules(value: object) -> Any:
    """Return target modules as the plan takes them: a list, one name, or "all-linear"."""
    if isinstance(value, str):
        return [part.strip() for part in value.split(",")] if "," in value else [value]
    return [str(part) for part in value] if isinstance(value, list) else None


def sharded(fields: Fields) -> dict[str, Setting[Any]]:
    """Return how DeepSpeed or FSDP shards, where the recipe says so; the number of GPUs is the launcher's."""
    deep = fields.given("deepspeed")
    if deep is not None and deep.value:
        # What DeepSpeed's file decides of precision and batch, its "auto" leaves to the recipe.
        found = deepspeed.described(fields.context, deepspeed.as_record(deep))
        return {name: found[name] for name in ("sharding", "optimizer") if name in found}
    for name in ("fsdp", "fsdp_config"):
        given = fields.given(name)
        if given is not None and given.value:
            second = fields.value("fsdp_version", "fsdp_config.fsdp_version") == 2  # noqa: PLR2004  the version of FSDP
            spec = {"kind": "fsdp2" if second else "fsdp"}
            return {"sharding": over_gpus(fields.context, spec, given.origin)}
    return {}
