"""Command-line arguments: argparse, click, HfArgumentParser and its kin, and the launch line's flags.

The value of an argument is its flag on the launch line, else its default; a default is reported as
"default of --flag", because launch lines overturn most of them.
"""

from __future__ import annotations

import ast
from typing import TYPE_CHECKING, Any

from vramlint.facts import attributes, classes, operations, parsers
from vramlint.facts.launch import Flag, is_told
from vramlint.facts.names import terminal
from vramlint.facts.setting import Known, Origin, Setting, Unknown
from vramlint.facts.values import Bound, Class, Frame, Instance, Items, Record, Symbol, is_scalar

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from vramlint.facts.evaluate import Evaluator
    from vramlint.facts.names import Binding, Call, Place, Scope

_PARSE_ARGS = {".parse_args", ".parse_known_args", ".parse_intermixed_args", ".parse_known_intermixed_args"}
_INTO_DATACLASSES = {
    ".parse_args_into_dataclasses",
    ".parse_args_and_config",
    ".parse_json_file",
    ".parse_dict",
    ".parse_yaml_file",
    ".parse",
}
_DATACLASS_PARSERS = ("HfArgumentParser", "TrlParser", "ArgumentParserPlus", "H4ArgumentParser")
_CONVERTERS = {"int": int, "float": float, "str": str}


def is_parsed(value: object) -> bool:
    """Return whether a value is the namespace that a parser of arguments returns."""
    return isinstance(value, Instance) and bool(value.names) and value.names[0] in _PARSE_ARGS


def is_parser_result(value: Instance) -> bool:
    """Return whether a value is the tuple of dataclasses, or of namespace and rest, that a parser returns."""
    return bool(value.names) and (value.names[0] in _INTO_DATACLASSES or value.names[0] in _PARSE_ARGS)


def is_dict_of_parsed(value: object) -> bool:
    """Return whether a value is `vars(args)` or `args.__dict__`, of a namespace or of a dataclass that is filled."""
    if not (isinstance(value, Bound) and value.attribute == "__dict__"):
        return False
    return is_parsed(value.of) or (isinstance(value.of, Instance) and value.of.parsed)


def parsed_object(
    evaluator: Evaluator, value: Instance, index: int, node: ast.expr, place: Place
) -> Setting[Any]:
    """Return one of the objects that a parser returns."""
    if value.names[0] in _PARSE_ARGS:
        return Known(value, evaluator.origin(node, place)) if index == 0 else evaluator.run_time(node, place)
    parser = _parser(value)
    kinds = None if parser is None else attributes.keyword(evaluator, parser, "dataclass_types", 0)
    if isinstance(kinds, Known) and isinstance(kinds.value, Items):
        if not -len(kinds.value.items) <= index < len(kinds.value.items):
            return evaluator.run_time(node, place)
        return evaluator.each(
            evaluator.force(kinds.value.items[index]), lambda kind: object_of(evaluator, kind, node, place)
        )
    if isinstance(kinds, Known) and index == 0:
        return object_of(evaluator, kinds.value, node, place)
    return evaluator.known(Bound(value, str(index)), node, place)


def built(evaluator: Evaluator, node: ast.expr, place: Place, frame: Frame | None) -> Setting[Any]:
    """Return the object that `tyro.cli(Config)` and its like build from arguments."""
    setting = evaluator.evaluate(node, place, frame)
    return evaluator.each(setting, lambda kind: object_of(evaluator, kind, node, place))


def object_of(evaluator: Evaluator, kind: Any, node: ast.AST, place: Place) -> Setting[Any]:
    """Return the object of a dataclass that a parser fills."""
    if isinstance(kind, Class):
        names = tuple(evaluator.base_names(kind))
        return evaluator.known(Instance(names, None, place, local=kind, parsed=True), node, place)
    if isinstance(kind, Symbol):
        return evaluator.known(Instance((kind.name,), None, place, parsed=True), node, place)
    return evaluator.run_time(node, place)


def _parser(value: Instance) -> Instance | None:
    receiver = value.receiver
    if isinstance(receiver, Known) and isinstance(receiver.value, Instance):
        return receiver.value
    return None


def field_argument(evaluator: Evaluator, binding: Binding, name: str) -> Setting[Any] | None:
    """Return a dataclass field that is filled from the command line."""
    flag = evaluator.flags.get(name)
    if flag is not None:
        return launched(name, flag)
    setting = classes.field_default(evaluator, binding)
    if setting is None:
        return without_default(name, evaluator.origin(binding.node, binding.place))
    return as_default(setting, f"default of --{name}")


def launched(name: str, text: str, *, many: bool = False) -> Setting[Any]:
    """Return a flag of the launch line as a value; as a list where it takes `many`."""
    flag = text if isinstance(text, Flag) else Flag(text)
    shown = shown_flag(name, flag)
    origin = Origin(flag.kind, shown, flag.span)
    if not is_told(flag):
        return Unknown(f"--{name} is {text!r} on the launch line, which only the shell knows", origin)
    if many:
        return Known(Items(tuple(Known(literal(word), origin) for word in flag.words)), origin)
    return Known(literal(text) if text else True, origin)


def flag_of(evaluator: Evaluator, name: str, sections: Sequence[str]) -> Setting[Any] | None:
    """Return the launch's flag of a name in the first section that has it, None where none does."""
    full = next((f"{section}{name}" for section in sections if f"{section}{name}" in evaluator.flags), None)
    return None if full is None else launched(full, evaluator.flags[full])


def shown_flag(name: str, flag: Flag) -> str:
    """Return how a flag is written."""
    if flag.kind == "config":
        return f"{name}: {flag}"
    return flag.shown or f"--{name} {' '.join(flag.words)}".rstrip()


def literal(text: str) -> Any:
    """Return the plain value that a flag's text stands for."""
    lowered = text.lower()
    if lowered in {"true", "yes"}:
        return True
    if lowered in {"false", "no"}:
        return False
    for convert in (int, float):
        try:
            return convert(text)
        except ValueError:
            continue
    return text


def as_default(setting: Setting[Any], detail: str) -> Setting[Any]:
    """Mark a value as the default of an argument."""
    if isinstance(setting, Known):
        return Known(setting.value, Origin("argument-default", detail, setting.origin.span))
    return setting


def without_default(name: str, origin: Origin) -> Unknown:
    """Return the unknown of an argument that someone must give."""
    return Unknown(f"comes from --{name}, which has no default; give it with --launch or --set", origin)


def parsed(evaluator: Evaluator, value: Instance, dest: str) -> Setting[Any] | None:
    """Return one argument of a parsed namespace or dataclass, None if nothing in the file declares it."""
    if not is_parsed(value):
        return _of_dataclass(evaluator, value, dest)
    laid = parsers.overlaid(evaluator, dest)
    if laid is not None:
        return laid
    declared = _declarations(evaluator)
    calls = declared.get(dest, [])
    if not calls:
        others = (_set_default, parsers.in_loop, parsers.added_dataclass)
        return next((found for one in others if (found := one(evaluator, dest)) is not None), None)
    if len(calls) > 1:
        own = [call for call in calls if _same_parser(evaluator, value, call)]
        calls = parsers.chosen(evaluator, own or calls)
    settings = [_declared(evaluator, call, dest) for call in calls]
    changed = _set_default(evaluator, dest)
    return changed or evaluator.joined(settings, f"--{dest} is declared {len(calls)} times")


def _of_dataclass(evaluator: Evaluator, value: Instance, name: str) -> Setting[Any] | None:
    """Return a field of a dataclass that a parser fills; one of a library has the flags that no other declares."""
    found = attributes.field(evaluator, value, name)
    if found is not None or not value.names:
        return found
    default = evaluator.library_field(value.names, name)
    return launched(name, evaluator.flags[name]) if default and name in evaluator.flags else default


def _set_default(evaluator: Evaluator, dest: str) -> Setting[Any] | None:
    for call in reversed(evaluator.names.calls.get("set_defaults", [])):
        for given in call.node.keywords:
            setting = evaluator.evaluate(given.value, call.place) if given.arg in {dest, None} else None
            if given.arg == dest and setting is not None:
                return as_default(setting, f"default of --{dest}")
            # `parser.set_defaults(**yaml.safe_load(file))`: the values keep the file's lines.
            if (
                isinstance(setting, Known)
                and isinstance(setting.value, Record)
                and dest in setting.value.items
            ):
                return evaluator.force(setting.value.items[dest])
    return None


def _declarations(evaluator: Evaluator) -> dict[str, list[Call]]:
    """Return the `add_argument` calls of the file by the name that the namespace gives them."""
    table = evaluator.declarations
    if table is None:
        table = {}
        for call in evaluator.names.calls.get("add_argument", []):
            dest = _dest(call.node)
            if dest:
                table.setdefault(dest, []).append(call)
        evaluator.declarations = table
    return table


def _dest(node: ast.Call) -> str:
    for given in node.keywords:
        if given.arg == "dest" and isinstance(given.value, ast.Constant):
            return str(given.value.value)
    flags = [
        part.value for part in node.args if isinstance(part, ast.Constant) and isinstance(part.value, str)
    ]
    # click names a pair of switches `--x/--no-x`, and a parameter by a word without dashes.
    named = next((flag for flag in flags if len(flags) > 1 and flag.isidentifier()), None)
    long = named or next((flag for flag in flags if flag.startswith("--")), flags[0] if flags else "")
    return long.partition("/")[0].lstrip("-").replace("-", "_")


def _same_parser(evaluator: Evaluator, value: Instance, call: Call) -> bool:
    """Return whether a declaration belongs to the parser that made a namespace, its groups included."""
    parser = _parser(value)
    node: ast.expr = call.node.func
    for _ in range(4):
        if not isinstance(node, ast.Attribute):
            return False
        made = evaluator.evaluate(node.value, call.place)
        if not (isinstance(made, Known) and isinstance(made.value, Instance)):
            return False
        if parser is not None and made.value.call is parser.call:
            return True
        if made.value.call is None:
            return False
        node = made.value.call.func
    return False


def _declared(evaluator: Evaluator, call: Call, dest: str) -> Setting[Any]:  # noqa: PLR0911  one early return for each kind of value
    """Return the value of one declared argument."""
    given = {keyword.arg: keyword.value for keyword in call.node.keywords if keyword.arg}
    flag = _flag(evaluator, call.node, dest)
    action = given.get("action")
    kind = action.value if isinstance(action, ast.Constant) else ""
    name = _shown(call.node, dest)
    if flag is None and (off := _off(evaluator, call.node)) is not None:
        return Known(value=False, origin=Origin("launch", name, getattr(off, "span", None)))
    if flag is not None:
        if kind in {"store_true", "store_false"}:
            return Known(kind == "store_true", Origin("launch", name, getattr(flag, "span", None)))
        nargs = given.get("nargs")
        many = isinstance(nargs, ast.Constant) and nargs.value != "?"
        return launched(name.lstrip("-"), flag, many=many)
    at = evaluator.origin(call.node, call.place, "argument-default", f"default of {name}")
    if "default" in given:
        setting = evaluator.evaluate(given["default"], call.place)
        return as_default(_converted(setting, given.get("type")), f"default of {name}")
    if kind in {"store_true", "store_false"}:
        return Known(kind == "store_false", at)
    required = given.get("required")
    if isinstance(required, ast.Constant) and required.value:
        return without_default(name.lstrip("-"), at)
    if not name.startswith("-"):
        return Unknown(
            f"comes from the argument {name.upper()}, which has no default; give it with --launch or --set",
            at,
        )
    return Known(None, Origin("argument-default", f"{name}, which has no default", at.span))


def _flag(evaluator: Evaluator, node: ast.Call, dest: str) -> str | None:
    """Return the launch's flag for an argument, by its name or any other spelling that is declared."""
    if dest in evaluator.flags:
        return evaluator.flags[dest]
    return next((evaluator.flags[text] for text in _texts(node) if text in evaluator.flags), None)


def _off(evaluator: Evaluator, node: ast.Call) -> str | None:
    """Return the launch's `--no-x` of click's `--x/--no-x`."""
    pairs = [text for text in _texts(node) if "/" in text]
    return next((evaluator.flags.get(text.partition("/")[2].lstrip("_")) for text in pairs), None)


def _shown(node: ast.Call, dest: str) -> str:
    flags = [
        part.value for part in node.args if isinstance(part, ast.Constant) and isinstance(part.value, str)
    ]
    return next((flag for flag in flags if flag.startswith("--")), flags[0] if flags else f"--{dest}")


def _converted(setting: Setting[Any], kind: ast.expr | None) -> Setting[Any]:
    """Apply `type=int` and its like to a default that is written as text."""
    convert = _CONVERTERS.get(terminal(kind)) if kind is not None else None
    if convert is None or not (isinstance(setting, Known) and isinstance(setting.value, str)):
        return setting
    try:
        return Known(operations.bounded(convert, setting.value), setting.origin)
    except operations.NotComputedError:
        return setting


def decorated(evaluator: Evaluator, scope: Scope, name: str) -> Setting[Any] | None:
    """Return a parameter that click's `@option` declares, None if none does."""
    node = scope.node
    if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) or scope.place is None:
        return None
    for decorator in node.decorator_list:
        if isinstance(decorator, ast.Call) and terminal(decorator.func) in {"option", "argument"}:
            from vramlint.facts.names import Call  # noqa: PLC0415  these modules need each other

            call = Call(decorator, scope.place)
            if _dest(decorator) == name or name in _texts(decorator):
                return _declared(evaluator, call, name)
    return None


def all_decorated(evaluator: Evaluator, scope: Scope) -> Setting[Any] | None:
    """Return every option that click's decorators give a function, None where there are none."""
    node = scope.node
    if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) or scope.place is None:
        return None
    named = (
        name
        for one in node.decorator_list
        if isinstance(one, ast.Call) and terminal(one.func) in {"option", "argument"} and (name := _dest(one))
    )
    found = {name: option for name in named if (option := decorated(evaluator, scope, name)) is not None}
    return evaluator.known(Record(dict(found)), node, scope.place) if found else None


def _texts(node: ast.Call) -> list[str]:
    texts = [
        part.value for part in node.args if isinstance(part, ast.Constant) and isinstance(part.value, str)
    ]
    return [text.lstrip("-").replace("-", "_") for text in texts]


def plain(setting: Setting[Any] | None) -> bool:
    """Return whether a setting has a plain value."""
    return isinstance(setting, Known) and is_scalar(setting.value)


def declared(evaluator: Evaluator, dest: str) -> Setting[Any] | None:
    """Return an argument that the file declares, whatever parser it belongs to."""
    calls = _declarations(evaluator).get(dest, [])
    return _declared(evaluator, calls[0], dest) if len(calls) == 1 else None


def declared_names(evaluator: Evaluator) -> Iterable[str]:
    """Return the names of the arguments that the file declares."""
    return _declarations(evaluator)
