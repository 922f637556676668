"""Which bindings of a name are in force at a place: the last one before it, or one for each branch."""

from __future__ import annotations

import ast
from dataclasses import dataclass
from typing import TYPE_CHECKING

from vramlint.facts.names import Arm, Binding

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

Path = tuple[Arm, ...]

MOST_BINDINGS = 64
"""A name that this many branches may bind is not followed: the work grows with the square of their number."""


@dataclass(frozen=True, slots=True)
class Point:
    """A place as flow sees it: everything with a smaller rank has happened, inside the arms of `path`."""

    order: float
    path: Path


def in_force(
    bindings: Sequence[Binding],
    point: Point,
    alive: Callable[[Arm], bool],
    ended: Mapping[ast.AST, frozenset[int]],
) -> tuple[tuple[Binding, ...], bool]:
    """Return the bindings that may hold at a point, the latest first, and whether one of them surely does.

    `alive` tells whether an arm may run; `ended` lists the arms of a branch that leave it for good.
    An exception handler's binding counts only where the guarded body has none.
    """
    found: list[Binding] = []
    covered: set[tuple[tuple[int, int], ...]] = set()
    for binding in reversed(bindings):
        if binding.place.order >= point.order or _excluded(binding.place.path, point.path):
            continue
        path = binding.place.path
        if _key(path) in covered or any(_key(path[:depth]) in covered for depth in range(len(path))):
            continue
        if not all(arm in point.path or alive(arm) for arm in path):
            continue
        found.append(binding)
        if len(found) > MOST_BINDINGS:
            break
        if _closes(path, point.path, covered, alive, ended):
            return _expected(found), True
    return _expected(found), False


def _expected(found: Sequence[Binding]) -> tuple[Binding, ...]:
    """Leave out what only an exception handler binds where the guarded body binds too; imports keep both."""
    guarded = {arm.branch for binding in found for arm in binding.place.path if _is_body(arm)}
    return tuple(
        binding
        for binding in found
        if binding.kind in {"import", "def", "class"}
        or not any(arm.branch in guarded and not _is_body(arm) for arm in binding.place.path)
    )


def _is_body(arm: Arm) -> bool:
    return not isinstance(arm.branch, ast.Try) or arm.index == 0


def _excluded(path: Path, here: Path) -> bool:
    """Return whether a binding's arms contradict the arms that the point stands in."""
    taken = {arm.branch: arm.index for arm in here}
    return any(arm.branch in taken and taken[arm.branch] != arm.index for arm in path)


def _key(path: Path) -> tuple[tuple[int, int], ...]:
    return tuple((id(arm.branch), arm.index) for arm in path)


def _closes(
    path: Path,
    here: Path,
    covered: set[tuple[tuple[int, int], ...]],
    alive: Callable[[Arm], bool],
    ended: Mapping[ast.AST, frozenset[int]],
) -> bool:
    """Mark `path` as bound and return whether the name is now bound on every way to the point."""
    inside = set(_key(here))
    while True:
        if all(step in inside for step in _key(path)):
            return True
        covered.add(_key(path))
        last = path[-1]
        siblings = [(*path[:-1], Arm(last.branch, index, last.place)) for index in _arms(last.branch)]
        done = ended.get(last.branch, frozenset())
        for sibling in siblings:
            index = sibling[-1].index
            if _key(sibling) not in covered and index not in done and alive(sibling[-1]):
                return False
        path = path[:-1]


def _arms(branch: ast.AST) -> range:
    if isinstance(branch, ast.If):
        return range(2)
    # Only the guarded body of a try is expected to run; its handlers matter where the body binds nothing.
    if isinstance(branch, ast.Try):
        return range(1)
    return range(len(branch.cases) + 1) if isinstance(branch, ast.Match) else range(2)
