"""hydra: the configuration that `@hydra.main` composes for a function, from its defaults list and overrides."""

from __future__ import annotations

import ast
import posixpath
from typing import TYPE_CHECKING, Any

from vramlint.facts import configs
from vramlint.facts.names import root, terminal
from vramlint.facts.setting import Known, Origin, Setting
from vramlint.facts.values import Class, Record, Symbol

if TYPE_CHECKING:
    from vramlint.facts.evaluate import Evaluator
    from vramlint.facts.names import Place, Scope

MOST_FILES = 30
_PLACES = ("config_path", "config_dir")


def configuration(evaluator: Evaluator, scope: Scope) -> Setting[Any] | None:
    """Return what `@hydra.main` gives a function, None where nothing of it is found."""
    node = scope.node
    if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) or scope.place is None:
        return None
    for decorator in node.decorator_list:
        if isinstance(decorator, ast.Call) and terminal(decorator.func) == "main":
            callee = evaluator.evaluate(decorator.func, scope.place)
            if (
                isinstance(callee, Known)
                and isinstance(callee.value, Symbol)
                and callee.value.name == "hydra.main"
            ):
                return _composed(evaluator, decorator, scope.place)
    return None


def _composed(evaluator: Evaluator, decorator: ast.Call, place: Place) -> Setting[Any] | None:
    given = {keyword.arg: keyword.value for keyword in decorator.keywords if keyword.arg}
    plain = {
        name: evaluator.evaluate(given[name], place)
        for name in ("config_path", "config_name")
        if name in given
    }
    texts = {
        name: one.value
        for name, one in plain.items()
        if isinstance(one, Known) and isinstance(one.value, str)
    }
    name = str(evaluator.flags.get("config_name", texts.get("config_name", "config"))).removesuffix(".yaml")
    directory = next((str(evaluator.flags[flag]) for flag in _PLACES if flag in evaluator.flags), None)
    composer = _Composer(evaluator, directory or texts.get("config_path", ""), place)
    found = composer.file(name)
    if found is None:
        return _stored(evaluator, name)
    for key, text in evaluator.flags.items():
        if key not in composer.groups and key not in {"config_name", *_PLACES, "multirun", "m"}:
            found = configs.put(found, key.lstrip("+"), evaluator.launched(key, text))
    return evaluator.known(configs.interpolated(evaluator, found), decorator, place)


def _stored(evaluator: Evaluator, name: str) -> Setting[Any] | None:
    """Return the object of a structured configuration that a ConfigStore has under a name."""
    for call in evaluator.names.calls.get("store", []):
        given = {keyword.arg: keyword.value for keyword in call.node.keywords}
        node, stored = given.get("node"), given.get("name")
        if isinstance(stored, ast.Constant) and stored.value == name and node is not None:
            kind = evaluator.evaluate(node, call.place)
            if isinstance(kind, Known) and isinstance(kind.value, Class):
                return evaluator.parsed_object(kind.value, node, call.place)
    return None


class _Composer:
    """Composes configurations out of one directory; `groups` are those that the defaults list chose from."""

    def __init__(self, evaluator: Evaluator, directory: str, place: Place) -> None:
        self.evaluator = evaluator
        module = evaluator.modules.path(root(place.scope))
        self.directory = posixpath.normpath(posixpath.join(posixpath.dirname(module), directory))
        self.groups: set[str] = set()
        self.count = 0

    def file(self, name: str, group: str = "") -> Record | None:
        """Return a configuration with its defaults; None where the file is not there."""
        repository = self.evaluator.modules.repository
        if repository is None or self.count >= MOST_FILES:
            return None
        self.count += 1
        path = posixpath.join(self.directory, group, f"{name}.yaml")
        content = repository.neighbours.read(posixpath.normpath(path))
        file = None if content is None else configs.parsed(posixpath.normpath(path), content)
        if file is None or content is None:
            return Record({}) if content is not None else None
        own = configs.record(file)
        own = Record({key: value for key, value in own.items.items() if key not in {"defaults", "hydra"}})
        defaults = file.entry("defaults")
        parts = defaults.value if defaults is not None and isinstance(defaults.value, list) else []
        result = Record({})
        # Without `_self_` the file's own values come last and win (hydra 1.1 and later).
        for part in [*parts, *([] if "_self_" in parts else ["_self_"])]:
            inner = own if part == "_self_" else self.default(part, group)
            result = configs.laid_over(self.evaluator, result, inner)
        return result

    def default(self, part: Any, group: str) -> Record:
        """Return what one entry of a defaults list adds."""
        if isinstance(part, str):
            return self.file(part.lstrip("/"), group) or Record({})
        if not isinstance(part, dict) or len(part) != 1:
            return Record({})
        key, option = next(iter(part.items()))
        key = key.removeprefix("optional ").removeprefix("override ").strip()
        if key.startswith("hydra/"):
            return Record({})
        name, _, package = key.partition("@")
        chosen = posixpath.join(group, name.lstrip("/")) if not name.startswith("/") else name.lstrip("/")
        self.groups.add(chosen)
        option = self.evaluator.flags.get(chosen, option)
        found = self.file(str(option), chosen) if option not in {None, "null"} else None
        if found is None:
            return Record({})
        return self.packaged(found, package or name.lstrip("/"), str(option), chosen)

    def packaged(self, found: Record, package: str, option: str, group: str) -> Record:
        """Put a group's values below its own name, or where its file says."""
        repository = self.evaluator.modules.repository
        path = posixpath.normpath(posixpath.join(self.directory, group, f"{option}.yaml"))
        content = repository.neighbours.read(path) if repository is not None else None
        if package == "_global_" or (content is not None and b"@package _global_" in content[:300]):
            return found
        for part in reversed(package.replace("/", ".").split(".")):
            found = Record({part: Known(found, Origin("config", posixpath.basename(path)))})
        return found
