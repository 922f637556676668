"""What a user's own optimizer class keeps for each parameter, read from `state["…"] = torch.zeros_like(p)`.

Only the syntax is looked at: names of keys, shapes and types of what is put under them. What a key holds is said
as part of a parameter's shape, so that the engine can size it for every parameter.
"""

from __future__ import annotations

import ast
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

_LIKE = frozenset({"zeros_like", "ones_like", "empty_like", "full_like", "rand_like", "randn_like"})
_NEW = frozenset({"zeros", "ones", "empty", "full", "rand", "randn"})
_OWN_NEW = frozenset({"new_zeros", "new_ones", "new_empty", "new_full"})
_COPIES = frozenset(
    {"clone", "detach", "to", "float", "double", "half", "bfloat16", "contiguous", "cpu", "cuda"}
)
_CASTS = {"float": "float32", "double": "float64", "half": "float16", "bfloat16": "bfloat16"}
_DTYPES = frozenset(
    {
        "float32",
        "float64",
        "float16",
        "bfloat16",
        "float",
        "double",
        "half",
        "uint8",
        "int8",
        "bool",
        "int64",
        "long",
    }
)
_ROWS, _COLUMNS = frozenset({":-1", "0", "-2"}), frozenset({"-1", "1", ":-2"})


def states_of(owner: ast.ClassDef, call: ast.Call) -> list[dict[str, Any]] | None:
    """Return the states of a class as the plan writes them, None where they cannot be read.

    A state under a condition on an option of the constructor counts if the call, or the option's default,
    switches it on.
    """
    options = _options(owner, call)
    found: dict[str, dict[str, Any]] = {}
    for key, value in _assigned(owner.body, options):
        state = _state(key, value)
        if state is not None:
            found[key] = state
    if found or not _mentions_state(owner):
        return list(found.values())
    return None


def _mentions_state(owner: ast.ClassDef) -> bool:
    return any(isinstance(node, ast.Attribute) and node.attr == "state" for node in ast.walk(owner))


def _assigned(body: list[ast.stmt], options: dict[str, object]) -> Iterator[tuple[str, ast.expr]]:
    """Yield each key of a state and what is put under it, in the branches that may run."""
    for statement in body:
        if isinstance(statement, ast.If):
            holds = _holds(statement.test, options)
            if holds is not False:
                yield from _assigned(statement.body, options)
            if holds is not True:
                yield from _assigned(statement.orelse, options)
        elif isinstance(statement, ast.Assign):
            yield from ((key, statement.value) for key in map(_key, statement.targets) if key)
        elif isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Call):
            yield from _set_default(statement.value)
        else:
            for field in ("body", "orelse", "finalbody"):
                yield from _assigned(getattr(statement, field, []), options)


def _key(target: ast.expr) -> str | None:
    if isinstance(target, ast.Subscript) and isinstance(target.slice, ast.Constant):
        return target.slice.value if isinstance(target.slice.value, str) else None
    return None


def _set_default(call: ast.Call) -> Iterator[tuple[str, ast.expr]]:
    match call:
        case ast.Call(func=ast.Attribute(attr="setdefault"), args=[ast.Constant(value=str(key)), value]):
            yield key, value


def _options(owner: ast.ClassDef, call: ast.Call) -> dict[str, object]:
    """Return the constants that the constructor's arguments have in this call."""
    values: dict[str, object] = {}
    for method in owner.body:
        if isinstance(method, ast.FunctionDef) and method.name == "__init__":
            named = method.args.args[len(method.args.args) - len(method.args.defaults) :]
            defaults = [*zip(named, method.args.defaults, strict=True)]
            defaults += [
                (name, given)
                for name, given in zip(method.args.kwonlyargs, method.args.kw_defaults, strict=True)
                if given is not None
            ]
            values |= {name.arg: given.value for name, given in defaults if isinstance(given, ast.Constant)}
    for keyword in call.keywords:
        if keyword.arg is not None:
            values.pop(keyword.arg, None)
            if isinstance(keyword.value, ast.Constant):
                values[keyword.arg] = keyword.value.value
    return values


def _holds(test: ast.expr, options: dict[str, object]) -> bool | None:
    """Return whether a condition on an option of the constructor holds; None for any other condition."""
    match test:
        case ast.UnaryOp(op=ast.Not(), operand=operand):
            inner = _holds(operand, options)
            return None if inner is None else not inner
        case (
            ast.Subscript(slice=ast.Constant(value=str(name))) | ast.Attribute(attr=name) | ast.Name(id=name)
        ):
            return bool(options[name]) if name in options else None
        case ast.Compare(left=left, ops=[ast.NotEq() | ast.Gt()], comparators=[ast.Constant(value=0 | 0.0)]):
            return _holds(left, options)
    return None


def _state(key: str, value: ast.expr) -> dict[str, Any] | None:
    """Return one state; None for a number, a text or what is not followed."""
    shape = _shape(value)
    if shape is None:
        return None
    state: dict[str, Any] = {"name": key}
    if shape != "parameter":
        state["shape"] = shape
    dtype = _dtype(value)
    if dtype is not None:
        state["dtype"] = dtype
    if _is_on_cpu(value):
        state["device"] = "cpu"
    return state


def _shape(value: ast.expr) -> str | None:
    if not (isinstance(value, ast.Call) and isinstance(value.func, ast.Attribute)):
        return None
    name, owner = value.func.attr, value.func.value
    if name in _LIKE or name == "clone":
        return _of_argument(value.args[0] if value.args else owner)
    if name in _COPIES:
        return _shape(owner) if isinstance(owner, ast.Call) else _of_argument(owner)
    if name in _NEW | _OWN_NEW:
        return _size(value)
    return "scalar" if name == "tensor" else None


def _of_argument(argument: ast.expr) -> str:
    return _shape(argument) or "parameter"


def _size(call: ast.Call) -> str | None:
    given = call.args or [one.value for one in call.keywords if one.arg == "size"]
    if not given:
        return None
    sizes = given[0].elts if isinstance(given[0], ast.List | ast.Tuple) else [given[0]]
    if len(sizes) == 1 and isinstance(sizes[0], ast.Constant):
        return "scalar" if sizes[0].value == 1 else None
    if not sizes:
        return "scalar"
    text = ast.unparse(sizes[0])
    if len(sizes) == 1 and text.endswith((".shape", ".size()")):
        return "parameter"
    inside = text[text.find("[") + 1 : -1] if text.endswith("]") else text[text.find("(") + 1 : -1]
    if "+" in text:
        return "columns"
    return "rows" if inside in _ROWS else "columns" if inside in _COLUMNS else None


def _dtype(value: ast.expr) -> str | None:
    """Return the type that a state is made in, None for the parameter's; the outermost call decides."""
    if not (isinstance(value, ast.Call) and isinstance(value.func, ast.Attribute)):
        return None
    name, owner = value.func.attr, value.func.value
    if name in _CASTS and not value.args:
        return _CASTS[name]
    arguments = [one.value for one in value.keywords if one.arg == "dtype"]
    arguments += value.args if name == "to" else []
    for argument in arguments:
        if isinstance(argument, ast.Attribute) and argument.attr in _DTYPES:
            return argument.attr
        if isinstance(argument, ast.Attribute) and argument.attr == "dtype":
            return None
    if name in _NEW:
        return "float32"
    inner = value.args[0] if name in _LIKE or (name == "clone" and value.args) else owner
    return _dtype(inner)


def _is_on_cpu(value: ast.expr) -> bool:
    if not (isinstance(value, ast.Call) and isinstance(value.func, ast.Attribute)):
        return False
    device = next((one.value for one in value.keywords if one.arg == "device"), None)
    if isinstance(device, ast.Constant) and device.value == "cpu":
        return True
    return value.func.attr == "cpu" or _is_on_cpu(value.func.value)
