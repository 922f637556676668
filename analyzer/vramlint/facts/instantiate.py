"""Objects that a configuration names: `hydra.utils.instantiate(cfg.optimizer, params=…)` of a `_target_`.

The call that it stands for joins those of the program, so that frontends find it by its name.
"""

from __future__ import annotations

import ast
from typing import TYPE_CHECKING

from vramlint.facts.inspect_values import each
from vramlint.facts.names import Binding, Call, root
from vramlint.facts.setting import Known, Setting
from vramlint.facts.values import Record

if TYPE_CHECKING:
    from vramlint.facts.evaluate import Evaluator
    from vramlint.facts.names import Place
    from vramlint.facts.values import Frame

_INSTANTIATE = {"hydra.utils.instantiate", "hydra.utils.call", "hydra_zen.instantiate"}


def call(
    evaluator: Evaluator, name: str, node: ast.Call, place: Place, frame: Frame | None
) -> Setting[object] | None:
    """Return the object that a configuration's `_target_` makes, None for another call or without a target."""
    if name not in _INSTANTIATE or not node.args:
        return None
    for known in each(evaluator.evaluate(node.args[0], place, frame))[:1]:
        record = known.value
        target = evaluator.force(record.items["_target_"]) if _has_target(record) else None
        if isinstance(target, Known) and isinstance(target.value, str):
            partial = evaluator.force(record.items.get("_partial_", Known(value=False, origin=known.origin)))
            made = _meant(evaluator, node, target.value, place)
            is_partial = isinstance(partial, Known) and partial.value is True
            return evaluator.evaluate(made.func if is_partial else made, place, frame)
    return None


def _has_target(record: object) -> bool:
    return isinstance(record, Record) and "_target_" in record.items


def _meant(evaluator: Evaluator, node: ast.Call, target: str, place: Place) -> ast.Call:
    """Return the call of the target: with the keywords that are given, and all of the configuration's."""
    key = (id(node), target)
    if key not in evaluator.instantiated:
        # The name with its dots is bound as an import would bind it, in the module that has the call.
        module = root(place.scope)
        module.bindings.setdefault(target, [Binding("import", _before(place), node, target=target)])
        keywords = [*node.keywords, ast.keyword(None, node.args[0])]
        made = ast.Call(ast.Name(target, ast.Load()), node.args[1:], keywords)
        made = ast.fix_missing_locations(ast.copy_location(made, node))
        evaluator.instantiated[key] = made
        evaluator.names.calls.setdefault(target.rpartition(".")[2], []).append(Call(made, place))
    return evaluator.instantiated[key]


def _before(place: Place) -> Place:
    """Return the place before everything else in the module of a place."""
    return type(place)(root(place.scope), -1, (), place.cell)
