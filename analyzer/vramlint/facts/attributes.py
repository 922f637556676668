"""Attributes, items and parts of values: fields of objects, keys of dicts, elements of tuples."""

from __future__ import annotations

import ast
import posixpath
from functools import partial
from typing import TYPE_CHECKING, Any

from vramlint.facts import arguments, classes, parsers
from vramlint.facts.inspect_values import each
from vramlint.facts.setting import Known, Origin, Setting, Unknown
from vramlint.facts.shown import source
from vramlint.facts.values import (
    Bound,
    Class,
    Element,
    Frame,
    Instance,
    Items,
    Lazy,
    Module,
    Record,
    Symbol,
    is_scalar,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from vramlint.facts.evaluate import Evaluator
    from vramlint.facts.names import Place

_NAMESPACES = {"types.SimpleNamespace", "argparse.Namespace", "builtins.dict", "easydict.EasyDict", "box.Box"}

_DICT_METHODS = frozenset(dir(dict))


def attribute(  # noqa: C901, PLR0911, PLR0917  one case, and one early return for each kind of value; the place travels with the value
    evaluator: Evaluator, value: Any, name: str, node: ast.Attribute, place: Place, frame: Frame | None
) -> Setting[Any]:
    """Return `value.name`."""
    if isinstance(value, Symbol):
        flag = parsers.absl_flag(evaluator, value, name)
        return flag or evaluator.known(Symbol(f"{value.name}.{name}"), node, place)
    if isinstance(value, Module):
        if name == "__dict__":
            return evaluator.known(Bound(value, name), node, place)
        local = evaluator.modules.member(value, name)
        return local or evaluator.known(Symbol(f"{value.name}.{name}"), node, place)
    if isinstance(value, Class):
        return classes.class_attribute(evaluator, value, name, frame) or evaluator.known(
            Bound(value, name), node, place
        )
    if isinstance(value, Record) and name in value.items:
        return evaluator.force(value.items[name])
    if isinstance(value, Record) and value.gaps is not None and name not in _DICT_METHODS:
        return Unknown(value.gaps, evaluator.origin(node, place))
    if isinstance(value, Instance):
        if value.parsed and name in evaluator.flags:
            return arguments.launched(name, evaluator.flags[name])
        found = field(evaluator, value, name, place)
        if found is None and value.parsed:
            found = evaluator.library_field(value.names, name)
        return evaluator.known(Bound(value, name), node, place) if found is None else found
    if isinstance(value, str) and name == "parent":
        return evaluator.known(posixpath.dirname(value), node, place)
    if is_scalar(value) and value is not None and name in {"value", "name"}:
        # The member of an enumeration in the file is read as its value.
        return evaluator.evaluate(node.value, place, frame)
    return evaluator.known(Bound(value, name), node, place)


def field(evaluator: Evaluator, value: Instance, name: str, at: Place | None = None) -> Setting[Any] | None:
    """Return a field of an object as it is read at a place, None when nothing in the file says it."""
    if arguments.is_parsed(value):
        return arguments.parsed(evaluator, value, name)
    if isinstance(value.local, Class):
        found = classes.instance_attribute(evaluator, value, value.local, name, at)
        if found is not None:
            return found
    if value.call is None or value.method is not None:
        return None
    if name == "value" and (held := parsers.absl_holder(evaluator, value)) is not None:
        return held
    given = keyword(evaluator, value, name)
    if (
        isinstance(given, Unknown)
        and not isinstance(value.local, Class)
        and not any(name in _NAMESPACES for name in value.names)
    ):
        return given
    return given


def keyword(
    evaluator: Evaluator, value: Instance, name: str, position: int | None = None
) -> Setting[Any] | None:
    """Return an argument of the call that made an object, None when the call does not give it."""
    call = value.call
    if call is None:
        return None
    for given in call.keywords:
        if given.arg == name:
            return evaluator.evaluate(given.value, value.place, value.frame)
    if position is not None:
        plain = call.args[: position + 1]
        if len(plain) > position and not any(isinstance(part, ast.Starred) for part in plain):
            return evaluator.evaluate(call.args[position], value.place, value.frame)
    return _from_stars(evaluator, value, name)


def _from_stars(evaluator: Evaluator, value: Instance, name: str) -> Setting[Any] | None:
    """Look for an argument in the `**` dicts of a call."""
    assert value.call is not None
    for given in value.call.keywords:
        if given.arg is not None:
            continue
        inner = evaluator.evaluate(given.value, value.place, value.frame)
        found = evaluator.each(
            inner, partial(_entry, evaluator, name=name, node=given.value, place=value.place)
        )
        if isinstance(found, Unknown):
            return found
        absent = [one for one in each(found) if is_absent(one.value)]
        if not absent:
            return found
        if len(absent) < len(each(found)):
            return _given_or_not(evaluator, found, given.value, value.place, name)
    return None


def _given_or_not(
    evaluator: Evaluator, found: Setting[Any], node: ast.expr, place: Place, name: str
) -> Setting[Any]:
    """Return an argument that some branches leave out, None in those; a number's default is not None."""
    why = f"has `{name}` in some branches only"
    values = [known.value for known in each(found)]
    if any(isinstance(value, bool | int | float) for value in values):
        return evaluator.run_time(node, place, why)
    left_out = Known(None, evaluator.origin(node, place, detail=f"{name} is left out"))
    return evaluator.joined(
        [left_out if is_absent(known.value) else known for known in each(found)], f"`{source(node)}` {why}"
    )


def is_absent(value: object) -> bool:
    """Return whether a value stands for a key that a dict does not have."""
    return isinstance(value, Bound) and value.of is None and value.attribute == "absent"


def _entry(evaluator: Evaluator, record: Any, name: str, node: ast.expr, place: Place) -> Setting[Any]:
    if isinstance(record, Record):
        if name in record.items:
            return evaluator.force(record.items[name])
        if record.gaps is None:
            return evaluator.known(Bound(None, "absent"), node, place)
    if arguments.is_dict_of_parsed(record):
        found = arguments.parsed(evaluator, record.of, name)
        return found if found is not None else evaluator.known(Bound(None, "absent"), node, place)
    if isinstance(record, Bound) and record.attribute == "__dict__" and isinstance(record.of, Instance):
        # `Namespace(**vars(model_args), **vars(training_args))` of a parser's dataclasses.
        found = field(evaluator, record.of, name)
        if found is None and record.of.parsed:
            found = evaluator.library_field(record.of.names, name)
        return found if found is not None else evaluator.known(Bound(None, "absent"), node, place)
    return Unknown(
        f"`{name}` may come from `**{source(node)}`, which is known only at run time",
        evaluator.origin(node, place),
    )


def item(  # noqa: C901, PLR0911, PLR0912, PLR0917  one case for each kind of value; one early return for each kind of value; the place travels with the value
    evaluator: Evaluator, value: Any, key: Any, node: ast.Subscript, place: Place, frame: Frame | None
) -> Setting[Any]:
    """Return `value[key]`."""
    if isinstance(value, Record):
        return entry(evaluator, value, key, node, place)
    if isinstance(value, Items) and isinstance(key, int) and not isinstance(key, bool):
        return part(evaluator, value, key, node, place)
    if isinstance(value, str) and isinstance(key, int) and -len(value) <= key < len(value):
        return evaluator.known(value[key], node, place)
    if arguments.is_dict_of_parsed(value) and isinstance(key, str):
        found = arguments.parsed(evaluator, value.of, key)
        return found if found is not None else evaluator.run_time(node, place)
    if isinstance(value, Symbol) and value.name == "sys.argv" and isinstance(key, int):
        return _word(evaluator, key, node, place)
    if isinstance(value, Symbol) and value.name == "os.environ" and isinstance(key, str):
        return evaluator.variable(key) or evaluator.run_time(node, place, "comes from the environment")
    if isinstance(value, Symbol) and value.name.endswith(".__dict__") and isinstance(key, str):
        return evaluator.known(Symbol(f"{value.name.removesuffix('.__dict__')}.{key}"), node, place)
    if isinstance(value, Bound) and value.attribute == "__dict__":
        inner = value.of
        if isinstance(inner, Module) and isinstance(key, str):
            return evaluator.modules.member(inner, key) or evaluator.run_time(node, place)
        if isinstance(inner, Symbol) and isinstance(key, str):
            return evaluator.known(Symbol(f"{inner.name}.{key}"), node, place)
        if isinstance(inner, Instance) and isinstance(key, str):
            found = field(evaluator, inner, key)
            return found if found is not None else evaluator.run_time(node, place)
    if isinstance(value, Class) and isinstance(key, str):
        return classes.class_attribute(evaluator, value, key, frame) or evaluator.run_time(node, place)
    if isinstance(value, Instance) and isinstance(key, int):
        return part(evaluator, value, key, node, place)
    if isinstance(value, Instance) and isinstance(key, str):
        found = field(evaluator, value, key)
        return found if found is not None else evaluator.run_time(node, place)
    return evaluator.run_time(node, place)


def _word(evaluator: Evaluator, index: int, node: ast.expr, place: Place) -> Setting[Any]:
    """Return `sys.argv[index]`: a word of the launch that belongs to no flag."""
    if 0 < index <= len(evaluator.positional):
        word = evaluator.positional[index - 1]
        return Known(word, Origin("launch", word))
    why = f"`{source(node)}` is the command's word {index}, which no launch line gives; give it with --launch"
    return Unknown(why, evaluator.origin(node, place))


def entry(evaluator: Evaluator, record: Record, key: Any, node: ast.expr, place: Place) -> Setting[Any]:
    """Return an entry of a dict."""
    if is_scalar(key) and key in record.items:
        found = evaluator.force(record.items[key])
        missing = next((known for known in each(found) if is_absent(known.value)), None)
        return found if missing is None else Unknown(missing.origin.detail, evaluator.origin(node, place))
    if record.gaps is not None:
        return Unknown(record.gaps, evaluator.origin(node, place))
    return evaluator.run_time(
        node, place, "is not among the keys written here" if is_scalar(key) else "is chosen by the run"
    )


def part(evaluator: Evaluator, value: Any, index: int, node: ast.expr, place: Place) -> Setting[Any]:
    """Return one element of a tuple or of a result that is not followed."""
    if isinstance(value, Items) and value.gaps is None and -len(value.items) <= index < len(value.items):
        return evaluator.force(value.items[index])
    if isinstance(value, Instance) and arguments.is_parser_result(value):
        return arguments.parsed_object(evaluator, value, index, node, place)
    if isinstance(value, Instance):
        return evaluator.known(Element(value, index), node, place)
    return evaluator.run_time(node, place)


def merged(
    evaluator: Evaluator, settings: Sequence[Setting[Any]], node: ast.expr, place: Place
) -> Setting[Any]:
    """Return the union of dicts, the later ones winning."""
    items: dict[Any, Lazy | Setting[Any]] = {}
    gaps = None
    for setting in settings:
        if isinstance(setting, Known) and isinstance(setting.value, Record):
            items |= setting.value.items
            gaps = gaps or setting.value.gaps
        else:
            # What is not known may replace every key before it.
            items, gaps = {}, "a part of the dict is known only at run time"
    return evaluator.known(Record(items, gaps), node, place)
