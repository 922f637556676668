"""Paths in code: `os.path` and `pathlib` on plain texts, from the script's own file."""

from __future__ import annotations

import posixpath
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import ast

    from vramlint.facts.evaluate import Evaluator
    from vramlint.facts.names import Place
    from vramlint.facts.setting import Setting
    from vramlint.facts.values import Frame

_SAME = {
    "os.path.abspath", "os.path.realpath", "os.path.normpath", "os.path.expanduser", "os.fspath", "pathlib.PurePath",
    "os.path.expandvars",
}  # fmt: skip
_JOINS = {"os.path.join", "pathlib.Path", "pathlib.PosixPath"}
_HERE = {"os.getcwd", "pathlib.Path.cwd"}
_PARTS = {"os.path.dirname": posixpath.dirname, "os.path.basename": posixpath.basename}
FUNCTIONS = _SAME | _JOINS | _HERE | set(_PARTS)
METHODS = {"resolve", "absolute", "expanduser", "as_posix", "joinpath"}


def call(evaluator: Evaluator, name: str, node: ast.Call, place: Place, frame: Frame | None) -> Setting[Any]:
    """Return what a function of paths gives; a path is its text."""
    parts = [evaluator.evaluate(part, place, frame) for part in node.args]
    if name in _HERE or not parts:
        return evaluator.known("", node, place)
    if name in _PARTS:
        return evaluator.apply(_PARTS[name], parts[:1], node, place)
    if name in _SAME:
        return parts[0]
    return parts[0] if len(parts) == 1 else evaluator.apply(posixpath.join, parts, node, place)


def method(  # noqa: PLR0917  the place travels with the value
    evaluator: Evaluator, base: str, name: str, node: ast.Call, place: Place, frame: Frame | None
) -> Setting[Any]:
    """Return what a method of a path gives."""
    own = evaluator.known(base, node, place)
    if name != "joinpath":
        return own
    parts = [evaluator.evaluate(part, place, frame) for part in node.args]
    return evaluator.apply(posixpath.join, [own, *parts], node, place)
