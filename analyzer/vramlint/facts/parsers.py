"""Parsers beyond plain argparse: absl's flags, sub-commands, defaults set in loops, functions as commands."""

from __future__ import annotations

import ast
import re
from typing import TYPE_CHECKING, Any

from vramlint.facts import arguments, attributes, configurator
from vramlint.facts.names import dotted, terminal
from vramlint.facts.setting import Known, Origin, Setting, Unknown
from vramlint.facts.values import Bound, Class, Function, Instance, Record, Symbol, is_scalar

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from vramlint.facts.evaluate import Evaluator
    from vramlint.facts.names import Binding, Call, Scope

_ABSL_NAMESPACE = re.compile(r"(?:absl|tensorflow|tf)\b.*\bflags\.FLAGS$")
_ABSL_FLAG = re.compile(r"\bflags\.DEFINE_\w+$")
# What turns a function into a command: it is given the function, or decorates it.
_RUNNERS = {"Fire", "run", "cli", "CLI", "auto_cli", "nested_entrypoint", "entrypoint", "call_parse", "main"}
_DECORATORS = {"command", "wrap", "call_parse", "main", "task"}
_TRAINING_COMMAND = re.compile(r"^(?:train|fit|finetune|fine_tune|sft|pretrain)")


# absl: `flags.DEFINE_integer("batch_size", 8, …)` is read as `FLAGS.batch_size`, or as `_BATCH.value`.


def absl_flag(evaluator: Evaluator, namespace: Symbol, name: str) -> Setting[Any] | None:
    """Return a flag by its name, None where the symbol is no namespace of flags or nothing declares it."""
    if not _ABSL_NAMESPACE.search(namespace.name):
        return None
    for kind, calls in evaluator.names.calls.items():
        if not kind.startswith("DEFINE_"):
            continue
        for call in calls:
            first = call.node.args[0] if call.node.args else None
            if isinstance(first, ast.Constant) and first.value == name:
                return _absl_value(evaluator, Instance((), call.node, call.place), name)
    return None


def absl_holder(evaluator: Evaluator, value: Instance) -> Setting[Any] | None:
    """Return the `.value` of what `flags.DEFINE_…` returns, None for any other object."""
    if value.call is None or not any(_ABSL_FLAG.search(name) for name in value.names):
        return None
    name = attributes.keyword(evaluator, value, "name", 0)
    plain = isinstance(name, Known) and isinstance(name.value, str)
    return _absl_value(evaluator, value, name.value) if plain and isinstance(name, Known) else None


def _absl_value(evaluator: Evaluator, made: Instance, name: str) -> Setting[Any]:
    if name in evaluator.flags:
        return arguments.launched(name, evaluator.flags[name])
    if f"no{name}" in evaluator.flags:
        flag = evaluator.flags[f"no{name}"]
        return Known(value=False, origin=Origin("launch", f"--no{name}", getattr(flag, "span", None)))
    default = attributes.keyword(evaluator, made, "default", 1)
    if isinstance(default, Known) and isinstance(default.value, str) and default.value.endswith(".py"):
        config = configurator.config_of(evaluator, default)
        if config is not None:
            return config
    assert made.call is not None
    if default is None or (isinstance(default, Known) and default.value is None):
        return arguments.without_default(name, evaluator.origin(made.call, made.place))
    return arguments.as_default(default, f"default of --{name}")


def declared_texts(trees: Iterable[ast.Module]) -> Iterator[tuple[str, str]]:
    """Yield the flags that `add_argument` declares with a text as default, before anything is evaluated."""
    for node in (node for tree in trees for node in ast.walk(tree)):
        if isinstance(node, ast.Call) and terminal(node.func) == "add_argument" and node.args:
            default = next((one.value for one in node.keywords if one.arg == "default"), None)
            if isinstance(default, ast.Constant) and isinstance(default.value, str):
                yield ast.unparse(node.args[0]), default.value


# What is laid over parsed arguments afterwards.


def overlaid(evaluator: Evaluator, dest: str) -> Setting[Any] | None:
    """Return what a mapping gives an argument after parsing: `setattr` in a loop over it, or `update`."""
    for mapping in _overlays(evaluator):
        if dest in mapping.items:
            return evaluator.force(mapping.items[dest])
    return None


def _overlays(evaluator: Evaluator) -> Iterator[Record]:
    for call in reversed(evaluator.names.calls.get("setattr", [])):
        names = [part.id for part in call.node.args if isinstance(part, ast.Name)]
        for loop in call.place.loops:
            if (
                isinstance(loop, ast.For)
                and call.node.args
                and names
                and evaluator.live(call.place)
                and arguments.is_parsed(_plain(evaluator.evaluate(call.node.args[0], call.place)))
            ):
                yield from _mapping(evaluator, loop.iter, call)
    for call in reversed(evaluator.names.calls.get("update", [])):
        receiver = call.node.func.value if isinstance(call.node.func, ast.Attribute) else None
        if receiver is None or not call.node.args or not evaluator.live(call.place):
            continue
        held = _plain(evaluator.evaluate(receiver, call.place)) if _may_be_namespace(receiver) else None
        if arguments.is_dict_of_parsed(held):
            yield from _mapping(evaluator, call.node.args[0], call)


def _may_be_namespace(node: ast.expr) -> bool:
    return (isinstance(node, ast.Attribute) and node.attr == "__dict__") or terminal(
        node.func if isinstance(node, ast.Call) else node
    ) == "vars"


def _mapping(evaluator: Evaluator, node: ast.expr, call: Call) -> Iterator[Record]:
    """Yield the mapping of `mapping.items()`, or of the mapping itself."""
    if isinstance(node, ast.Call) and terminal(node.func) == "items" and isinstance(node.func, ast.Attribute):
        node = node.func.value
    value = _plain(evaluator.evaluate(node, call.place))
    if isinstance(value, Record):
        yield value


def in_loop(evaluator: Evaluator, dest: str) -> Setting[Any] | None:
    """Return the default of an argument that a loop over a mapping declares, by the mapping's key."""
    for call in evaluator.names.calls.get("add_argument", []):
        if not call.node.args or isinstance(call.node.args[0], ast.Constant):
            continue
        for loop in call.place.loops:
            for mapping in _mapping(evaluator, loop.iter, call) if isinstance(loop, ast.For) else ():
                if dest not in mapping.items:
                    continue
                if dest in evaluator.flags:
                    return arguments.launched(dest, evaluator.flags[dest])
                return arguments.as_default(evaluator.force(mapping.items[dest]), f"default of --{dest}")
    return None


def added_dataclass(evaluator: Evaluator, dest: str) -> Setting[Any] | None:
    """Return the object of simple_parsing's `parser.add_arguments(Options, dest="options")`."""
    for call in evaluator.names.calls.get("add_arguments", []):
        made = Instance((), call.node, call.place)
        named = attributes.keyword(evaluator, made, "dest", 1)
        kind = attributes.keyword(evaluator, made, "dataclass", 0)
        if isinstance(named, Known) and named.value == dest and isinstance(kind, Known):
            return arguments.object_of(evaluator, kind.value, call.node, call.place)
    return None


# Sub-commands.


def chosen(evaluator: Evaluator, calls: list[Call]) -> list[Call]:
    """Return the declarations of the sub-command that runs: the launch's first word, else the one that trains."""
    named = {call: _command(evaluator, call) for call in calls}
    word = next((text for text in evaluator.positional if text in named.values()), None)
    if word is not None:
        return [call for call in calls if named[call] == word]
    training = [call for call in calls if _TRAINING_COMMAND.match(named[call])]
    return training if len(training) == 1 and all(named.values()) else calls


def _command(evaluator: Evaluator, call: Call) -> str:
    """Return the name of the sub-command that a declaration belongs to, "" for the whole program's."""
    func = call.node.func
    made = _plain(evaluator.evaluate(func.value, call.place)) if isinstance(func, ast.Attribute) else None
    if not isinstance(made, Instance) or made.method != "add_parser":
        return ""
    name = attributes.keyword(evaluator, made, "name", 0)
    return str(name.value) if isinstance(name, Known) else ""


def handler_arguments(evaluator: Evaluator, scope: Scope) -> Setting[Any] | None:
    """Return what `args.func(args)` gives the function that `parser.set_defaults(func=function)` names."""
    for call in evaluator.names.calls.get("set_defaults", []):
        for given in call.node.keywords:
            meant = _plain(evaluator.evaluate(given.value, call.place)) if given.arg else None
            if not (isinstance(meant, Function) and meant.scope is scope):
                continue
            func = call.node.func
            assert isinstance(func, ast.Attribute)
            parser = evaluator.evaluate(func.value, call.place)
            return evaluator.known(
                Instance((".parse_args",), call.node, call.place, receiver=parser), call.node, call.place
            )
    return None


# Functions as commands.


def is_command(evaluator: Evaluator, scope: Scope) -> bool:
    """Return whether a function is started from the command line: handed to fire and its like, or decorated."""
    node = scope.node
    if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
        return False
    for decorator in node.decorator_list:
        plain = decorator.func if isinstance(decorator, ast.Call) else decorator
        if terminal(plain) in _DECORATORS and "pytest" not in (dotted(plain) or ""):
            return True
    return any(
        isinstance(part, ast.Name) and part.id == node.name
        for name in _RUNNERS
        for call in evaluator.names.calls.get(name, ())
        for given in call.node.args[:1]
        for part in ast.walk(given)
    )


def command_object(evaluator: Evaluator, binding: Binding) -> Setting[Any] | None:
    """Return the dataclass that a command's parameter is annotated with, as the parser fills it."""
    if not isinstance(binding.node, ast.arg) or binding.node.annotation is None:
        return None
    place = binding.place.scope.place or binding.place
    kind = _plain(evaluator.evaluate(binding.node.annotation, place))
    return arguments.object_of(evaluator, kind, binding.node, place) if isinstance(kind, Class) else None


def typer_default(evaluator: Evaluator, value: Any, name: str) -> Setting[Any] | None:
    """Return the default inside of `typer.Option(8, "--bs")`, None for any other value."""
    if not isinstance(value, Instance) or value.call is None:
        return None
    if not any(one in {"typer.Option", "typer.Argument"} for one in value.names):
        return None
    texts = [part.value for part in value.call.args[1:] if isinstance(part, ast.Constant)]
    spelt = [text.lstrip("-").replace("-", "_") for text in texts if isinstance(text, str)]
    for flag in (name, *spelt):
        if flag in evaluator.flags:
            return arguments.launched(flag, evaluator.flags[flag])
    default = attributes.keyword(evaluator, value, "default", 0)
    if default is None or not is_scalar(_plain(default)) or isinstance(default, Unknown):
        return arguments.without_default(name, evaluator.origin(value.call, value.place))
    return arguments.as_default(default, f"default of --{name}")


def _plain(setting: Setting[Any]) -> Any:
    return setting.value if isinstance(setting, Known) else Bound(None, "?")
