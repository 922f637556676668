"""A configuration file in YAML, JSON or TOML: its values by dotted keys, each with the place where it stands."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from vramlint.source.spans import Position, Span

if TYPE_CHECKING:
    from collections.abc import Mapping

    from vramlint.source.document import DocumentKind

# Aliases can make a small text large.
MOST_VALUES = 20_000


@dataclass(frozen=True, slots=True)
class Entry:
    """A plain value (scalar, list or mapping) and its place; `key` is the dotted path to it.

    `kind` and `shown` are those of a value that a command line gives in the place of a file, or a
    declaration of its arguments.
    """

    key: str
    value: Any
    span: Span | None
    kind: Literal["config", "launch", "argument-default"] = "config"
    shown: str = ""


class ConfigFile:
    """The mapping that a file holds, with a place for every key of it and of the mappings inside.

    `command` is what a command line starts whose arguments stand here too, "" for a file alone.
    """

    def __init__(self, path: str, entries: Mapping[str, Entry], command: str = "") -> None:
        self.path = path
        self.entries = entries
        self.command = command

    def entry(self, key: str) -> Entry | None:
        """Return the value of a dotted key, None where the file has none."""
        return self.entries.get(key)

    def has(self, *keys: str) -> bool:
        """Return whether every key is given."""
        return all(key in self.entries for key in keys)


def read_config(path: str, text: str, kind: DocumentKind) -> ConfigFile | None:
    """Return what a text holds, None where it is no mapping or cannot be read."""
    if kind == "yaml":
        return _yaml(path, text)
    import tomllib  # noqa: PLC0415  5 ms, and few scripts read such a file

    try:
        content = json.loads(text) if kind == "json" else tomllib.loads(text)
    except (ValueError, RecursionError):
        return None
    if not isinstance(content, dict):
        return None
    entries: dict[str, Entry] = {}
    _flatten(path, content, "", entries)
    return ConfigFile(path, entries)


def _flatten(path: str, content: Mapping[str, Any], prefix: str, entries: dict[str, Entry]) -> None:
    top = Span(path, Position(1, 0), Position(1, 0))
    for name, value in content.items():
        entries[f"{prefix}{name}"] = Entry(f"{prefix}{name}", value, top)
        if isinstance(value, dict) and len(entries) < MOST_VALUES:
            _flatten(path, value, f"{prefix}{name}.", entries)


def _yaml(path: str, text: str) -> ConfigFile | None:
    import yaml  # type: ignore[import-untyped,unused-ignore]  # noqa: PLC0415  10 ms, and few files need it

    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    try:
        root = next(iter(yaml.compose_all(text, Loader=loader)), None)
    except (yaml.YAMLError, RecursionError, ValueError):
        return None
    if not isinstance(root, yaml.MappingNode):
        return None
    reader = _YamlReader(path)
    reader.mapping(root, "")
    return ConfigFile(path, reader.entries)


class _YamlReader:
    """Turns YAML's nodes into entries; scalars get the types that YAML 1.1 gives them."""

    def __init__(self, path: str) -> None:
        import yaml  # noqa: PLC0415  as above

        self.yaml = yaml
        self.path = path
        self.entries: dict[str, Entry] = {}
        self.count = 0
        self.constructor = yaml.constructor.SafeConstructor()

    def mapping(self, node: Any, prefix: str) -> dict[str, Any]:
        """Record every key of a mapping and return it as plain data."""
        found: dict[str, Any] = {}
        for key, value in node.value:
            name = str(key.value) if isinstance(key, self.yaml.ScalarNode) else ""
            if not name or self.count > MOST_VALUES:
                continue
            plain = self.plain(value, f"{prefix}{name}.")
            found[name] = plain
            start, end = key.start_mark, value.end_mark
            last = end if isinstance(value, self.yaml.ScalarNode) else key.end_mark
            span = Span(
                self.path, Position(start.line + 1, start.column), Position(last.line + 1, last.column)
            )
            self.entries[f"{prefix}{name}"] = Entry(f"{prefix}{name}", plain, span)
        return found

    def plain(self, node: Any, prefix: str) -> Any:
        """Return a node as plain data."""
        self.count += 1
        if self.count > MOST_VALUES:
            return None
        if isinstance(node, self.yaml.MappingNode):
            return self.mapping(node, prefix)
        if isinstance(node, self.yaml.SequenceNode):
            return [self.plain(item, f"{prefix}{index}.") for index, item in enumerate(node.value)]
        return self.scalar(node)

    def scalar(self, node: Any) -> Any:
        """Return a scalar's value; a number such as 1e-4, text in YAML 1.1, becomes a number."""
        try:
            value = self.constructor.construct_object(node)
        except (self.yaml.YAMLError, ValueError):
            return node.value
        if isinstance(value, str) and node.style is None and "e" in value.lower():
            try:
                return float(value)
            except ValueError:
                return value
        return value if isinstance(value, bool | int | float | str | None) else str(node.value)
