"""Comparisons: `==`, `is`, `in` and their like, as far as they can be told without running."""

from __future__ import annotations

import ast
from typing import TYPE_CHECKING, Any

from vramlint.facts import operations
from vramlint.facts.inspect_values import same, scalar
from vramlint.facts.setting import Known, Setting
from vramlint.facts.values import Items, Record, is_scalar

if TYPE_CHECKING:
    from vramlint.facts.evaluate import Evaluator
    from vramlint.facts.names import Place
    from vramlint.facts.values import Frame

_SAMENESS = {ast.Is, ast.IsNot, ast.Eq, ast.NotEq}


def compared(evaluator: Evaluator, node: ast.Compare, place: Place, frame: Frame | None) -> Setting[Any]:
    """Return what a comparison of two values gives."""
    if len(node.ops) != 1:
        return evaluator.run_time(node, place)
    left = evaluator.evaluate(node.left, place, frame)
    right = evaluator.evaluate(node.comparators[0], place, frame)
    kind = type(node.ops[0])
    if kind in {ast.In, ast.NotIn}:
        return evaluator.each(left, lambda value: _contained(evaluator, value, right, node, place))
    if isinstance(left, Known) and isinstance(right, Known) and kind in _SAMENESS:
        answer = same(left.value, right.value)
        if answer is not None:
            origin = evaluator.computed(lambda *_: 0, [scalar(left), scalar(right)], node, place)
            kept = origin.origin if isinstance(origin, Known) else evaluator.origin(node, place)
            return Known(answer == (kind in {ast.Is, ast.Eq}), kept)
    return evaluator.apply(lambda a, b: operations.compare(kind, a, b), (left, right), node, place)


def _contained(
    evaluator: Evaluator, value: object, container: Setting[Any], node: ast.Compare, place: Place
) -> Setting[Any]:
    """Return whether a plain value is in a display, a dict's keys or a text."""
    found = _holds(evaluator, container, value) if is_scalar(value) else None
    if found is None:
        return evaluator.run_time(node, place)
    return Known(found == isinstance(node.ops[0], ast.In), evaluator.origin(node, place))


def _holds(evaluator: Evaluator, container: Setting[Any], value: object) -> bool | None:
    inside = container.value if isinstance(container, Known) else None
    if isinstance(inside, str) and isinstance(value, str):
        return value in inside
    if isinstance(inside, Record) and inside.gaps is None:
        return value in inside.items
    if isinstance(inside, Items) and inside.gaps is None:
        parts = [evaluator.force(item) for item in inside.items]
        if all(isinstance(part, Known) and is_scalar(part.value) for part in parts):
            return any(isinstance(part, Known) and part.value == value for part in parts)
    return None
