"""Configuration files that the code reads: YAML, JSON and TOML as dicts whose values know their lines."""

from __future__ import annotations

import posixpath
import re
from functools import partial
from typing import TYPE_CHECKING, Any

from vramlint.facts.inspect_values import each
from vramlint.facts.setting import Known, Origin, Setting, Unknown
from vramlint.facts.values import Instance, Items, Lazy, Record, is_scalar
from vramlint.source.config_file import read_config
from vramlint.source.imports import above
from vramlint.source.read import kind_of

if TYPE_CHECKING:
    import ast
    from collections.abc import Iterator, Mapping

    from vramlint.facts.evaluate import Evaluator
    from vramlint.facts.names import Place
    from vramlint.facts.values import Frame
    from vramlint.source.config_file import ConfigFile
    from vramlint.source.document import DocumentKind
    from vramlint.source.imports import Repository

LOADERS = {
    "yaml.safe_load", "yaml.load", "yaml.full_load", "yaml.unsafe_load", "json.load", "json.loads", "tomllib.load",
    "tomllib.loads", "tomli.load", "toml.load", "toml.loads", "omegaconf.OmegaConf.load", "ruamel.yaml.YAML.load",
    "transformers.utils.json.load", "commentjson.load", "hjson.load", "json5.load",
}  # fmt: skip
# What gives the mapping that it is given, in another dress.
WRAPPERS = {
    "omegaconf.OmegaConf.create", "omegaconf.OmegaConf.to_container", "omegaconf.OmegaConf.to_object",
    "easydict.EasyDict", "box.Box",
    "munch.munchify", "munch.Munch.fromDict", "munch.Munch", "addict.Dict", "ml_collections.ConfigDict",
    "omegaconf.DictConfig", "edict.EasyDict",
    "ml_collections.config_dict.ConfigDict", "ml_collections.config_dict.config_dict.ConfigDict",
    "yacs.config.CfgNode", "fvcore.common.config.CfgNode",
}  # fmt: skip
MERGERS = {"omegaconf.OmegaConf.merge", "omegaconf.OmegaConf.unsafe_merge"}
FROM_CLI = {"omegaconf.OmegaConf.from_cli"}
_DEEPEST = 8
_INTERPOLATION = re.compile(r"\$\{([^${}]*)\}")
_ENVIRONMENT = re.compile(r"oc\.env:\s*(\w+)\s*(?:,\s*(.*))?")
_LONGEST = 2_000


def call(  # noqa: PLR0911  one early return for each kind of call
    evaluator: Evaluator, name: str, node: ast.Call, place: Place, frame: Frame | None
) -> Setting[Any] | None:
    """Return what a call that reads or dresses a configuration gives, None where it is another call."""
    if name in FROM_CLI:
        return Known(_from_flags(evaluator), evaluator.origin(node, place))
    if name in WRAPPERS and not node.args and not node.keywords:
        return evaluator.known(Record({}), node, place)
    if not node.args:
        return None
    if name in LOADERS:
        return _read(evaluator, node.args[0], place, frame)
    if name in WRAPPERS:
        inner = evaluator.evaluate(node.args[0], place, frame)
        return inner if isinstance(inner, Known) and isinstance(inner.value, Record) else None
    if name in MERGERS:
        return merged(evaluator, [evaluator.evaluate(part, place, frame) for part in node.args], node, place)
    return None


def _read(evaluator: Evaluator, node: ast.expr, place: Place, frame: Frame | None) -> Setting[Any] | None:
    """Return the content of the file that a loader is given: opened, read, or named."""
    setting = evaluator.evaluate(node, place, frame)
    for known in each(setting)[:1]:
        path = _path(evaluator, known.value)
        if path is None:
            return _unnamed(evaluator, known.value)
        file = find(evaluator.modules.repository, path)
        if file is None:
            why = f"the file {path!r} that the script reads is not found beside it"
            return Unknown(why, evaluator.origin(node, place))
        return Known(interpolated(evaluator, record(file)), evaluator.origin(node, place))
    return None


def _unnamed(evaluator: Evaluator, value: Any) -> Unknown | None:
    """Return why the name of an opened file is not known, None where it is no opened file."""
    if not isinstance(value, Instance) or value.call is None or not value.call.args:
        return None
    if value.names[:1] != ("builtins.open",):
        return None
    named = evaluator.evaluate(value.call.args[0], value.place, value.frame)
    return named if isinstance(named, Unknown) else None


def _path(evaluator: Evaluator, value: Any) -> str | None:
    """Return the path behind a text, an open file, or what was read from one."""
    if isinstance(value, str):
        return value
    if not isinstance(value, Instance) or value.call is None:
        return None
    if value.method in {"open", "read", "read_text", "read_bytes"} and isinstance(value.receiver, Known):
        return _path(evaluator, value.receiver.value)
    if value.names[:1] in {("builtins.open",), ("io.open",), ("codecs.open",)} and value.call.args:
        inner = evaluator.evaluate(value.call.args[0], value.place, value.frame)
        return inner.value if isinstance(inner, Known) and isinstance(inner.value, str) else None
    return None


def find(repository: Repository | None, path: str) -> ConfigFile | None:
    """Return the configuration file that a script means by a path, from its own directory or one above."""
    if repository is None or not path or "\0" in path:
        return None
    for directory in above(repository.neighbours, repository.directory, repository.listing):
        place = posixpath.normpath(posixpath.join(directory, path))
        content = repository.neighbours.read(place)
        if content is not None:
            return parsed(place, content)
    # A path may begin with the script's own directory, spelt from where it is started.
    content = repository.neighbours.read(posixpath.normpath(path))
    return None if content is None else parsed(posixpath.normpath(path), content)


def parsed(path: str, content: bytes) -> ConfigFile | None:
    """Return the mapping in a file; JSON is read as YAML first, which knows the places of its values."""
    text = content.decode(errors="replace")
    kind = kind_of(path)
    kinds: tuple[DocumentKind, ...] = ("toml",) if kind == "toml" else ("yaml", "json")
    return next((file for one in kinds if (file := read_config(path, text, one)) is not None), None)


def record(file: ConfigFile) -> Record:
    """Return a file's mapping as values with their places."""
    top = {key: entry.value for key, entry in file.entries.items() if _is_top(file, key)}
    return Record({key: _value(file, key, value) for key, value in top.items()})


def _is_top(file: ConfigFile, key: str) -> bool:
    """Return whether a key is the file's own, not one of a mapping inside."""
    at = key.find(".")
    while at >= 0:
        if key[:at] in file.entries:
            return False
        at = key.find(".", at + 1)
    return True


def _value(file: ConfigFile, key: str, value: Any, outer: Origin | None = None) -> Known[Any]:
    entry = file.entry(key)
    shown = value if is_scalar(value) else "…"
    name = posixpath.basename(file.path)
    origin = outer if entry is None else Origin("config", f"{name}: {key}: {shown}", entry.span)
    origin = origin or Origin("config", name)
    if isinstance(value, dict):
        return Known(Record({k: _value(file, f"{key}.{k}", v, origin) for k, v in value.items()}), origin)
    if isinstance(value, list):
        parts = tuple(_value(file, f"{key}.{index}", part, origin) for index, part in enumerate(value))
        return Known(Items(parts), origin)
    return Known(value, origin)


def merged(evaluator: Evaluator, settings: list[Setting[Any]], node: ast.expr, place: Place) -> Setting[Any]:
    """Return several configurations laid over each other, key by key, the later ones winning."""
    result = Record({})
    for setting in settings:
        if isinstance(setting, Known) and isinstance(setting.value, Record):
            result = laid_over(evaluator, result, setting.value)
        elif not (isinstance(setting, Known) and setting.value is None):
            why = (
                setting.reason
                if isinstance(setting, Unknown)
                else "a part of the configuration is known only at run time"
            )
            result = Record(result.items, why)
    return evaluator.known(result, node, place)


def laid_over(evaluator: Evaluator, below: Record, above_: Record) -> Record:
    """Return two mappings in one, inner ones joined too."""
    items: dict[Any, Lazy | Setting[Any]] = dict(below.items)
    for key, value in above_.items.items():
        old = evaluator.force(items[key]) if key in items else None
        new = evaluator.force(value)
        both = [one.value for one in (old, new) if isinstance(one, Known) and isinstance(one.value, Record)]
        if len(both) == 2 and isinstance(new, Known):  # noqa: PLR2004  both are mappings
            items[key] = Known(laid_over(evaluator, both[0], both[1]), new.origin)
        else:
            items[key] = value
    return Record(items, below.gaps or above_.gaps)


def put(record_: Record, key: str, value: Setting[Any]) -> Record:
    """Return a mapping with the value of a dotted key replaced."""
    first, _, rest = key.partition(".")
    items = dict(record_.items)
    inner = items.get(first)
    if rest:
        old = inner.value if isinstance(inner, Known) and isinstance(inner.value, Record) else Record({})
        origin = value.origin if isinstance(value, Known) else Origin("launch", key)
        value = Known(put(old, rest, value), origin)
    items[first] = value
    return Record(items, record_.gaps)


def _from_flags(evaluator: Evaluator) -> Record:
    found = Record({})
    for key, text in evaluator.flags.items():
        found = put(found, key, evaluator.launched(key, text))
    return found


def interpolated(evaluator: Evaluator, root: Record) -> Record:
    """Return a configuration with OmegaConf's `${key}` filled in from itself."""
    if not any(_has_interpolation(value, 0) for value in root.items.values()):
        return root
    return _filled(evaluator, root, root, 0)


def _has_interpolation(value: Any, depth: int) -> bool:
    inner = value.value if isinstance(value, Known) else None
    if isinstance(inner, str):
        return "${" in inner
    if depth > _DEEPEST or not isinstance(inner, Record | Items):
        return False
    parts = inner.items.values() if isinstance(inner, Record) else inner.items
    return any(_has_interpolation(part, depth + 1) for part in parts)


def _filled(evaluator: Evaluator, root: Record, part: Record, depth: int) -> Record:
    items: dict[Any, Lazy | Setting[Any]] = {}
    for key, value in part.items.items():
        items[key] = value
        if not isinstance(value, Known):
            continue
        if isinstance(value.value, str) and "${" in value.value:
            items[key] = _resolved(evaluator, root, value, 0)
        elif isinstance(value.value, Record) and depth < _DEEPEST:
            items[key] = Known(_filled(evaluator, root, value.value, depth + 1), value.origin)
    return Record(items, part.gaps)


def _resolved(evaluator: Evaluator, root: Record, known: Known[Any], depth: int) -> Setting[Any]:
    """Return a text with its interpolations filled in; one that is a whole key takes that key's value."""
    text = known.value
    whole = _INTERPOLATION.fullmatch(text)
    look_up = partial(_looked_up, evaluator, root, depth=depth)
    if whole is not None:
        found = look_up(whole[1])
        return (
            found
            if found is not None
            else Unknown(f"{known.origin.detail} is filled in by the run", known.origin)
        )
    for match in _INTERPOLATION.finditer(text):
        found = look_up(match[1])
        if not (isinstance(found, Known) and is_scalar(found.value)):
            return Unknown(f"{known.origin.detail} is filled in by the run", known.origin)
        text = text.replace(match[0], str(found.value))[:_LONGEST]
    return Known(text, known.origin)


def _looked_up(evaluator: Evaluator, root: Record, key: str, *, depth: int) -> Setting[Any] | None:
    environment = _ENVIRONMENT.fullmatch(key)
    if environment is not None:
        default = environment[2]
        return evaluator.variable(environment[1]) or (
            None
            if default is None
            else Known(default, Origin("argument-default", f"default of {environment[1]}"))
        )
    at: Any = Known(root, Origin("config", ""))
    for part in key.split("."):
        inner = at.value if isinstance(at, Known) else None
        if not isinstance(inner, Record) or part not in inner.items:
            return None
        at = evaluator.force(inner.items[part])
    if isinstance(at, Known) and isinstance(at.value, str) and "${" in at.value and depth < _DEEPEST:
        return _resolved(evaluator, root, at, depth + 1)
    return at if isinstance(at, Known | Unknown) else None


def scalars(record_: Record, prefix: str = "") -> Iterator[tuple[str, Known[Any]]]:
    """Yield the plain values of a mapping by their dotted keys."""
    for key, value in record_.items.items():
        if isinstance(value, Known) and isinstance(value.value, Record):
            yield from scalars(value.value, f"{prefix}{key}.")
        elif isinstance(value, Known) and is_scalar(value.value):
            yield f"{prefix}{key}", value


def entries(evaluator: Evaluator, record_: Record) -> Mapping[str, Setting[Any]]:
    """Return the entries of a mapping, evaluated."""
    return {str(key): evaluator.force(value) for key, value in record_.items.items()}
