"""Settings that a script lays over its own globals: `exec(open("configurator.py").read())`, as nanoGPT does.

What is executed is never run here: where a file of the repository is executed and looks at `sys.argv`, the files that
the launch line names give globals their values, and its `--key=value` flags after them.
"""

from __future__ import annotations

import ast
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from vramlint.facts.names import Place, terminal

if TYPE_CHECKING:
    from vramlint.facts.evaluate import Evaluator
    from vramlint.facts.names import Binding
    from vramlint.facts.setting import Known, Setting
    from vramlint.facts.values import Module


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Overlay:
    """What is laid over the globals that are bound before a place, by its rank: modules, the last one winning."""

    order: int
    modules: tuple[Module, ...]


def overlay_of(evaluator: Evaluator) -> Overlay | None:
    """Return what a program's `exec` of a configurator lays over its globals, None where it has none."""
    for call in evaluator.names.calls.get("exec", ()):
        if call.place.scope is not evaluator.names.module or not call.node.args:
            continue
        path = _opened(call.node.args[0])
        text = None if path is None else evaluator.modules.text(path)
        if text is not None and "sys" in text and "argv" in text:
            named = [word for word in evaluator.positional if word.endswith(".py")]
            found = (evaluator.modules.by_path(word) for word in named)
            return Overlay(call.place.order, tuple(module for module in found if module is not None))
    return None


def laid(
    evaluator: Evaluator, overlay: Overlay, name: str, found: tuple[Binding, ...], place: Place
) -> Setting[Any] | None:
    """Return what the overlay gives a global at a place, None where it leaves it as it is."""
    is_later = place.scope is not evaluator.names.module or place.order > overlay.order
    if not is_later or any(binding.place.order > overlay.order for binding in found):
        return None
    if name in evaluator.flags:
        return evaluator.launched(name, evaluator.flags[name])
    for module in reversed(overlay.modules):
        if module.scope is not None and name in module.scope.bindings:
            return evaluator.name(name, Place(module.scope, sys.maxsize, (), None), None)
    return None


def _opened(node: ast.expr) -> str | None:
    """Return the path in `open("path").read()`, also inside of `compile(…)`."""
    for part in ast.walk(node):
        if isinstance(part, ast.Call) and terminal(part.func) == "open" and part.args:
            first = part.args[0]
            return first.value if isinstance(first, ast.Constant) and isinstance(first.value, str) else None
    return None


def config_of(evaluator: Evaluator, path: Known[Any]) -> Setting[Any] | None:
    """Return what `get_config()` of a configuration module returns, for `DEFINE_config_file("config", path)`."""
    module = evaluator.modules.by_path(str(path.value).partition(":")[0])
    if module is None or module.scope is None:
        return None
    end = Place(module.scope, sys.maxsize, (), None)
    call = ast.parse("get_config()", mode="eval").body
    return evaluator.evaluate(call, end)
