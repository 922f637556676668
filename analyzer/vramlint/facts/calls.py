"""What calls give: simple built-ins and text methods, the file's own functions and classes, or an object."""

from __future__ import annotations

import ast
import posixpath
from typing import TYPE_CHECKING, Any

from vramlint.facts import arguments, attributes, classes, configs, instantiate, operations, paths
from vramlint.facts.setting import Known, OneOf, Origin, Setting, Unknown
from vramlint.facts.shown import source
from vramlint.facts.values import (
    Bound,
    Class,
    Element,
    Frame,
    Function,
    Instance,
    Items,
    Record,
    Symbol,
    is_scalar,
)

if TYPE_CHECKING:
    from vramlint.facts.evaluate import Evaluator
    from vramlint.facts.names import Place

_DICTS = {"builtins.dict", "collections.OrderedDict", "types.SimpleNamespace", "argparse.Namespace"}
_ENVIRONMENT = {"os.environ.get", "os.getenv"}
_COPIES = {
    "copy.copy",
    "copy.deepcopy",
    "builtins.list",
    "builtins.tuple",
    "builtins.set",
    "dataclasses.replace",
}
_CASTS = {"typing.cast", "typing_extensions.cast"}
# Class methods that a class of the program has from a library's base.
_LOADERS = {"from_pretrained", "from_config", "_from_config"}
_EXISTENCE = {"os.path.exists", "os.path.isfile"}
MOST_RETURNS = 6
# How many GPUs a machine has, the likeliest first.
_PROCESSES = (8, 4, 2, 1)


def call(evaluator: Evaluator, node: ast.Call, place: Place, frame: Frame | None) -> Setting[Any]:
    """Return what a call gives."""
    callee = evaluator.evaluate(node.func, place, frame)
    if isinstance(callee, Unknown):
        return evaluator.known(Instance((), node, place, frame), node, place)
    if isinstance(callee, Known):
        return _called(evaluator, callee.value, node, place, frame)
    if all(isinstance(known.value, Symbol) for known in callee.alternatives):
        names = tuple(known.value.name for known in callee.alternatives)
        return evaluator.known(Instance(names, node, place, frame), node, place)
    return evaluator.each(callee, lambda value: _called(evaluator, value, node, place, frame))


def _called(
    evaluator: Evaluator, callee: Any, node: ast.Call, place: Place, frame: Frame | None
) -> Setting[Any]:
    match callee:
        case Symbol():
            return _symbol(evaluator, callee.name, node, place, frame)
        case Function():
            return _function(evaluator, callee, node, place, frame)
        case Class():
            names = tuple(evaluator.base_names(callee))
            return evaluator.known(Instance(names, node, place, frame, local=callee), node, place)
        case Bound():
            return _method(evaluator, callee, node, place, frame)
    return evaluator.known(Instance((), node, place, frame), node, place)


def _symbol(  # noqa: C901, PLR0911, PLR0912  one case, and one early return, for each kind of function
    evaluator: Evaluator, name: str, node: ast.Call, place: Place, frame: Frame | None
) -> Setting[Any]:
    """Return what a function from outside the file gives, where that is plain."""
    short = name.removeprefix("builtins.")
    if name.startswith("builtins.") and short in operations.FUNCTIONS:
        return _computed(evaluator, short, node, place, frame)
    answer = evaluator.machine(name)
    if answer is not None:
        origin = evaluator.origin(node, place, "assumed", f"{name}() on a CUDA machine")
        return Known(answer, origin)
    if name == "builtins.getattr" and len(node.args) >= 2:  # noqa: PLR2004  counts arguments or characters
        return _getattr(evaluator, node, place, frame)
    if name == "builtins.len" and len(node.args) == 1:
        return _length(evaluator, node, place, frame)
    if name in {"builtins.vars", "dataclasses.asdict"} and len(node.args) == 1:
        inner = evaluator.evaluate(node.args[0], place, frame)
        return evaluator.each(inner, lambda value: evaluator.known(Bound(value, "__dict__"), node, place))
    if name in _ENVIRONMENT:
        return _environment(evaluator, node, place, frame)
    if name in _CASTS and len(node.args) == 2:  # noqa: PLR2004  the type and the value
        return evaluator.evaluate(node.args[1], place, frame)
    if name in _COPIES and len(node.args) == 1 and not node.keywords:
        return evaluator.evaluate(node.args[0], place, frame)
    if name in {"torch.distributed.get_world_size", "torch.cuda.device_count"}:
        return _world_size(evaluator, node, place)
    if name in _EXISTENCE and len(node.args) == 1:
        return _exists(evaluator, node, place, frame)
    if name in paths.FUNCTIONS:
        return paths.call(evaluator, name, node, place, frame)
    configuration = configs.call(evaluator, name, node, place, frame) or instantiate.call(
        evaluator, name, node, place, frame
    )
    if configuration is not None:
        return configuration
    if name == "builtins.dict":
        return _dict(evaluator, node, place, frame)
    if name in {"tyro.cli", "simple_parsing.parse", "draccus.parse", "pyrallis.parse"} and node.args:
        return arguments.built(evaluator, node.args[0], place, frame)
    return evaluator.known(Instance((name,), node, place, frame), node, place)


def _world_size(evaluator: Evaluator, node: ast.Call, place: Place) -> Setting[Any]:
    """Return the number of processes: what the launch says, else one of the usual numbers of GPUs."""
    said = evaluator.variable("WORLD_SIZE")
    if said is not None:
        return Known(int(said.value), said.origin)
    counts = tuple(
        Known(count, evaluator.origin(node, place, "assumed", f"{count} processes")) for count in _PROCESSES
    )
    return OneOf(counts, "nothing says how many processes are started; say it with --world-size")


def _exists(evaluator: Evaluator, node: ast.Call, place: Place, frame: Frame | None) -> Setting[Any]:
    """Return whether a file is there: one that the repository lacks is taken to be missing in a first run too."""
    path = evaluator.evaluate(node.args[0], place, frame)
    repository = evaluator.modules.repository
    if not (isinstance(path, Known) and isinstance(path.value, str) and posixpath.splitext(path.value)[1]):
        return evaluator.known(Instance(("os.path.exists",), node, place, frame), node, place)
    if repository is None or configs.find(repository, path.value) is not None:
        return evaluator.known(Instance(("os.path.exists",), node, place, frame), node, place)
    origin = evaluator.origin(node, place, "assumed", f"there is no {path.value} beside the script")
    return Known(False, origin)  # noqa: FBT003  the value


def _function(
    evaluator: Evaluator, callee: Function, node: ast.Call, place: Place, frame: Frame | None
) -> Setting[Any]:
    """Return what a function of the file returns for this call, when its returns can be followed."""
    made = Instance((), node, place, frame, local=callee)
    if _is_inside(callee, frame):
        return evaluator.run_time(node, place, "calls itself")
    inside = Frame(callee.scope, made, frame)
    if isinstance(callee.node, ast.Lambda):
        at = callee.scope.place or place
        return evaluator.evaluate(callee.node.body, _lambda_place(callee, at), inside)
    returned = _returned(evaluator, callee, inside)
    return evaluator.known(made, node, place) if returned is None else returned


def _returned(evaluator: Evaluator, callee: Function, inside: Frame) -> Setting[Any] | None:
    """Return what a call of a function returns, None where its returns cannot be followed."""
    returns = [(value, at) for value, at in callee.scope.returns if evaluator.live(at)]
    if not returns or len(returns) > MOST_RETURNS or any(value is None for value, _ in returns):
        return None
    settings = [evaluator.evaluate(value, at, inside) for value, at in returns if value is not None]
    # The first unconditional return ends the body; a return in an undecided branch is an alternative.
    joined = evaluator.joined(settings, f"`{source(callee.node)}` returns in several branches")
    return None if isinstance(joined, Unknown) and len(settings) > 1 else joined


def _is_inside(callee: Function, frame: Frame | None) -> bool:
    """Return whether a function is being read for a call of its own."""
    while frame is not None:
        if frame.scope is callee.scope:
            return True
        frame = frame.parent
    return False


def _lambda_place(callee: Function, at: Place) -> Place:
    from vramlint.facts.names import Place  # noqa: PLC0415  these modules need each other

    return Place(callee.scope, at.order, (), at.cell, at.loops)


def _method(
    evaluator: Evaluator, callee: Bound, node: ast.Call, place: Place, frame: Frame | None
) -> Setting[Any]:
    """Return what a method of a value gives."""
    base, name = callee.of, callee.attribute
    if isinstance(base, str) and name in operations.TEXT_METHODS and not node.keywords:
        arguments_ = [evaluator.evaluate(part, place, frame) for part in node.args]
        return (
            evaluator.apply(getattr(base, name), arguments_, node, place)
            if arguments_
            else (evaluator.known(getattr(base, name)(), node, place))
        )
    if isinstance(base, str) and name in paths.METHODS:
        return paths.method(evaluator, base, name, node, place, frame)
    mapping = base if isinstance(base, Record) or arguments.is_dict_of_parsed(base) else None
    if mapping is not None and name in {"get", "pop", "setdefault"} and node.args:
        return _get(evaluator, mapping, node, place, frame)
    if isinstance(base, Record) and name in {"copy", "__copy__"}:
        return evaluator.known(base, node, place)
    if isinstance(base, Instance) and base.call is not None and base.names == ("torch.compile",):
        inner = attributes.keyword(evaluator, base, "model", 0)
        if isinstance(inner, Known) and _is_own(inner.value):
            base = inner.value
    return _object_method(evaluator, base, name, node, place, frame)


def _object_method(  # noqa: PLR0917  the place travels with the value
    evaluator: Evaluator, base: Any, name: str, node: ast.Call, place: Place, frame: Frame | None
) -> Setting[Any]:
    """Return what a method of an object or of a class gives."""
    receiver = Known(base, Origin("source", ""))
    if isinstance(base, Class) and name in _LOADERS and (bases := evaluator.base_names(base)):
        names = tuple(f"{outside}.{name}" for outside in bases)
        return evaluator.known(Instance(names, node, place, frame, receiver), node, place)
    method = classes.method(evaluator, base.local, name) if _is_own(base) else None
    made = Instance((f".{name}",), node, place, frame, receiver, method and base.local)
    if method is not None and not _is_inside(method, frame):
        followed = _returned(evaluator, method, Frame(method.scope, made, frame))
        if followed is not None and not isinstance(followed, Unknown):
            return followed
    return evaluator.known(made, node, place)


def _is_own(base: object) -> bool:
    return isinstance(base, Instance) and isinstance(base.local, Class)


def _computed(
    evaluator: Evaluator, name: str, node: ast.Call, place: Place, frame: Frame | None
) -> Setting[Any]:
    """Compute `int`, `min` and their like; a list of plain values counts as its values."""
    parts = [evaluator.evaluate(part, place, frame) for part in node.args]
    if len(parts) == 1 and name in {"min", "max"}:
        only = parts[0]
        if not (isinstance(only, Known) and isinstance(only.value, Items) and only.value.gaps is None):
            return evaluator.run_time(node, place)
        parts = [evaluator.force(item) for item in only.value.items]
    if name == "min":
        parts = _bounding(parts)
    if not parts or node.keywords:
        return evaluator.run_time(node, place)
    if len(parts) == 1 and name in {"min", "max"}:
        return parts[0]
    return evaluator.apply(operations.FUNCTIONS[name], parts, node, place)


def _bounding(parts: list[Setting[Any]]) -> list[Setting[Any]]:
    """Return the least plain part of a minimum where others are not known: it bounds the result."""
    plain = [part for part in parts if isinstance(part, Known) and isinstance(part.value, int | float)]
    if len(plain) in {0, len(parts)}:
        return parts
    least = min(plain, key=lambda part: part.value)
    origin = least.origin
    return [Known(least.value, Origin(origin.kind, f"at most {least.value}: {origin.detail}", origin.span))]


def _getattr(evaluator: Evaluator, node: ast.Call, place: Place, frame: Frame | None) -> Setting[Any]:
    base = evaluator.evaluate(node.args[0], place, frame)
    name = evaluator.evaluate(node.args[1], place, frame)
    default = node.args[2] if len(node.args) > 2 else None  # noqa: PLR2004  counts arguments or characters

    def one(value: Any, attribute: Any) -> Setting[Any]:
        if not isinstance(attribute, str):
            return evaluator.run_time(node, place)
        shown = ast.copy_location(ast.Attribute(node.args[0], attribute, ast.Load()), node)
        found = attributes.attribute(evaluator, value, attribute, shown, place, frame)
        missing = isinstance(found, Known) and isinstance(found.value, Bound)
        if isinstance(found, Known) and isinstance(found.value, Symbol) and isinstance(name, Known):
            # `getattr(torch, name)` has its value where the name is written.
            return Known(found.value, name.origin)
        return evaluator.evaluate(default, place, frame) if missing and default is not None else found

    return evaluator.each(base, lambda value: evaluator.each(name, lambda attribute: one(value, attribute)))


def _length(evaluator: Evaluator, node: ast.Call, place: Place, frame: Frame | None) -> Setting[Any]:
    inner = evaluator.evaluate(node.args[0], place, frame)
    if isinstance(inner, Known):
        value = inner.value
        if isinstance(value, str):
            return evaluator.known(len(value), node, place)
        if isinstance(value, Items | Record) and value.gaps is None:
            return evaluator.known(len(value.items), node, place)
    return evaluator.run_time(node, place)


def _environment(evaluator: Evaluator, node: ast.Call, place: Place, frame: Frame | None) -> Setting[Any]:
    name = evaluator.evaluate(node.args[0], place, frame) if node.args else None
    shown = name.value if isinstance(name, Known) else "a variable"
    given = evaluator.variable(str(shown))
    if given is not None:
        return given
    if len(node.args) < 2:  # noqa: PLR2004  counts arguments or characters
        return Unknown(
            f"comes from the environment variable {shown}, which has no default here",
            evaluator.origin(node, place),
        )
    default = evaluator.evaluate(node.args[1], place, frame)
    if isinstance(default, Known) and is_scalar(default.value):
        detail = f"default of environment variable {shown}"
        return Known(default.value, evaluator.origin(node.args[1], place, "argument-default", detail))
    return default


def _dict(evaluator: Evaluator, node: ast.Call, place: Place, frame: Frame | None) -> Setting[Any]:
    from vramlint.facts.values import Lazy  # noqa: PLC0415  these modules need each other

    parts: list[Setting[Any]] = [evaluator.evaluate(part, place, frame) for part in node.args]
    for given in node.keywords:
        if given.arg is None:
            parts.append(evaluator.evaluate(given.value, place, frame))
        else:
            parts.append(evaluator.known(Record({given.arg: Lazy(given.value, place, frame)}), node, place))
    return attributes.merged(evaluator, parts, node, place)


def _get(
    evaluator: Evaluator, mapping: Any, node: ast.Call, place: Place, frame: Frame | None
) -> Setting[Any]:
    """Return `mapping.get(key, default)`."""
    key = evaluator.evaluate(node.args[0], place, frame)
    if not isinstance(key, Known) or not is_scalar(key.value):
        return evaluator.run_time(node, place)
    if isinstance(mapping, Record):
        if key.value in mapping.items:
            return evaluator.force(mapping.items[key.value])
        if mapping.gaps is not None:
            return Unknown(mapping.gaps, evaluator.origin(node, place))
    else:
        found = arguments.parsed(evaluator, mapping.of, str(key.value))
        if found is not None:
            return found
    if len(node.args) > 1:
        return evaluator.evaluate(node.args[1], place, frame)
    return evaluator.known(None, node, place)


__all__ = ["Element", "call"]
