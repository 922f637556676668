"""Attributes and items of values: of modules and objects, of tensors, of Python's own containers."""

from __future__ import annotations

import ast
from typing import TYPE_CHECKING, Any

from vramlint.interpret import functions, module_methods, python
from vramlint.interpret.modules import Container, UserModule
from vramlint.interpret.values import (
    Data,
    Function,
    Library,
    Method,
    Namespace,
    Native,
    NotUnderstood,
    Object,
    Parsed,
    Record,
    Slice,
    Super,
    Unread,
    UserClass,
)
from vramlint.memory.convolutional import Sequential
from vramlint.memory.dtypes import DType
from vramlint.memory.modules import Buffer, Module, Parameter
from vramlint.memory.tape import Tensor

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from vramlint.interpret.interpreter import Interpreter

_METHODS: dict[type, frozenset[str]] = {
    list: frozenset({"append", "extend", "insert", "pop", "index", "copy", "reverse", "count", "remove", "clear"}),
    dict: frozenset({"get", "items", "keys", "values", "update", "pop", "setdefault", "copy"}),
    tuple: frozenset({"index", "count"}),
    set: frozenset({"add", "update", "union", "discard", "copy"}),
    str: frozenset(
        {"lower", "upper", "strip", "lstrip", "rstrip", "split", "startswith", "endswith", "replace", "join",
         "removeprefix", "removesuffix", "isdigit", "find", "partition", "rpartition", "title", "capitalize"}
    ),
    int: frozenset({"bit_length"}),
    float: frozenset({"is_integer"}),
}  # fmt: skip
_PREPARING = frozenset({"prepare", "setup", "setup_module", "prepare_model"})
_OF_LINEAR = {
    "in_features": "inputs",
    "out_features": "outputs",
    "num_embeddings": "rows",
    "embedding_dim": "width",
}


def attribute(interpreter: Interpreter, value: Any, name: str) -> Any:  # noqa: C901, PLR0911  one early return for each kind of value
    """Return `value.name`; raises AttributeError where there is none."""
    reader = _READERS.get(type(value))
    if reader is not None:
        return reader(interpreter, value, name)
    if isinstance(value, Data):
        return functions.of_data(interpreter, value, name)
    if isinstance(value, Unread):
        return _of_unread(value, name)
    if isinstance(value, Module):
        return _of_layer(interpreter, value, name)
    if isinstance(value, DType):
        return _of_dtype(value, name)
    for kind, methods in _METHODS.items():
        if isinstance(value, kind) and name in methods:
            return Native(name, _guarded(getattr(value, name)))
    if isinstance(value, float | int) and name in {"item", "real"}:
        return Native(name, lambda: value) if name == "item" else value
    if isinstance(value, list) and name in {"tolist", "to", "cuda"}:
        return Native(name, lambda *_: value)
    if isinstance(value, tuple) and name == "numel":
        return Native(name, lambda: functions.count(value))
    raise AttributeError(f"a {python.kind_of(value)} has no {name!r}")


def _of_unread(value: Unread, name: str) -> Any:
    if name == "backward":
        return functions.backward_of(value)
    if name in _PREPARING:
        return Native(name, _prepared)
    return value.part(name)


def _prepared(*args: Any, **_: Any) -> Any:
    """Return what accelerate and Fabric prepare: the same objects, as far as memory goes."""
    return args[0] if len(args) == 1 else args


def _guarded(method: Callable[..., Any]) -> Callable[..., Any]:
    def call(*args: Any, **kwargs: Any) -> Any:
        if any(isinstance(one, Unread) for one in args) and getattr(method, "__name__", "") not in {
            "append",
            "insert",
        }:
            return Unread("an argument is not known")
        return method(*args, **kwargs)

    return call


def _of_dtype(value: DType, name: str) -> Any:
    if name == "is_floating_point":
        return value.floating
    if name == "itemsize":
        return value.bits // 8
    raise AttributeError(name)


def _of_module(interpreter: Interpreter, value: UserModule, name: str) -> Any:
    if name in value.attributes:
        return value.attributes[name]
    found = _of_class(interpreter, value, value.cls, name)
    if found is not _ABSENT:
        return found
    if value.base is not None and name != "forward":
        try:
            return _of_layer(interpreter, value.base, name)
        except AttributeError:
            pass
    return module_methods.method(interpreter, value, name)


def _of_object(interpreter: Interpreter, value: Object, name: str) -> Any:
    if name in value.attributes:
        return value.attributes[name]
    found = _of_class(interpreter, value, value.cls, name)
    if found is not _ABSENT:
        return found
    if name == "__dict__":
        return value.attributes
    if name == "replace":
        return Native(name, lambda **changes: Object(value.cls, {**value.attributes, **changes}))
    if value.cls.bases:
        return Unread(f"`{name}` of `{value.cls.name}` comes from `{value.cls.bases[0]}`, which is not read")
    raise AttributeError(f"`{value.cls.name}` has no {name!r}")


_ABSENT = object()


def _of_class(interpreter: Interpreter, value: Any, cls: UserClass, name: str) -> Any:
    from vramlint.interpret import calls  # noqa: PLC0415  these modules need each other

    if name == "__class__":
        return cls
    found = calls.find(cls, name)
    if isinstance(found, Function):
        return bound(interpreter, found, value, cls)
    try:
        return calls.class_value(interpreter, cls, name)
    except KeyError:
        return _ABSENT


def bound(interpreter: Interpreter, function: Function, value: Any, cls: UserClass) -> Any:
    """Return a method bound to its object, or what a property gives."""
    from vramlint.interpret import calls  # noqa: PLC0415  these modules need each other

    marks = calls.decorators(function)
    if marks & {"property", "cached_property"}:
        return interpreter.call(function, [value], {})
    if "staticmethod" in marks:
        return function
    return Method(function, cls if "classmethod" in marks else value)


def _of_user_class(interpreter: Interpreter, value: UserClass, name: str) -> Any:
    from vramlint.interpret import calls  # noqa: PLC0415  these modules need each other

    if name in {"__name__", "__qualname__"}:
        return value.name
    found = calls.find(value, name)
    if isinstance(found, Function):
        marks = calls.decorators(found)
        return Method(found, value) if "classmethod" in marks else found
    try:
        return calls.class_value(interpreter, value, name)
    except KeyError:
        if name == "from_pretrained" or not value.bases:
            return Unread(f"`{value.name}.{name}` is not read")
        return Library(f"{value.bases[0]}.{name}")


def _of_super(interpreter: Interpreter, value: Super, name: str) -> Any:
    from vramlint.interpret import calls, library  # noqa: PLC0415  these modules need each other

    cls = value.of if isinstance(value.of, UserClass) else value.of.cls
    found = calls.find(cls, name, value.owner)
    if isinstance(found, Function):
        return bound(interpreter, found, value.of, cls)
    if name == "__init__":
        return Native(
            name, lambda *args, **kwargs: library.inherited_init(interpreter, value.of, args, kwargs)
        )
    if isinstance(value.of, UserModule):
        if name == "forward":
            return Native(
                name, lambda *args, **kwargs: library.inherited(interpreter, value.of, args, kwargs)
            )
        return module_methods.method(interpreter, value.of, name)
    return Native(name, lambda *_, **__: None)


def _of_layer(interpreter: Interpreter, value: Module, name: str) -> Any:
    held = vars(value)
    if name in held and not name.startswith("_"):
        return held[name]
    if name in _OF_LINEAR and _OF_LINEAR[name] in held:
        return held[_OF_LINEAR[name]]
    if name == "bias":
        return None
    if name == "forward":
        return value
    return module_methods.method(interpreter, value, name)


def _of_container(interpreter: Interpreter, value: Container, name: str) -> Any:
    if name in value.parts:
        return value.parts[name]
    return module_methods.of_container(interpreter, value, name)


def _of_namespace(interpreter: Interpreter, value: Namespace, name: str) -> Any:
    return interpreter.names.member(value.module, name)


def _of_library(_interpreter: Interpreter, value: Library, name: str) -> Any:
    if name == "__name__":
        return value.last
    return python.library(f"{value.name}.{name}")


def _of_record(_interpreter: Interpreter, value: Record, name: str) -> Any:
    if name in value.attributes:
        return value.attributes[name]
    raise AttributeError(name)


def _of_parsed(interpreter: Interpreter, value: Parsed, name: str) -> Any:
    return interpreter.names.of_parsed(value, name)


_READERS: dict[type, Callable[[Interpreter, Any, str], Any]] = {
    UserModule: _of_module,
    Object: _of_object,
    UserClass: _of_user_class,
    Super: _of_super,
    Container: _of_container,
    Namespace: _of_namespace,
    Library: _of_library,
    Record: _of_record,
    Parsed: _of_parsed,
    Tensor: functions.of_tensor,
    Parameter: functions.of_tensor,
    Buffer: functions.of_tensor,
}


def store(interpreter: Interpreter, holder: Any, name: str, value: Any) -> None:
    """Do `holder.name = value`."""
    if isinstance(holder, UserModule):
        _store_in_module(interpreter, holder, name, value)
    elif isinstance(holder, Object | Record | UserClass):
        holder.attributes[name] = value
    elif isinstance(holder, Container):
        holder.parts[name] = value
    elif isinstance(holder, Parameter) and name == "requires_grad":
        holder.trainable = bool(value)
    elif isinstance(holder, Module) and not isinstance(value, Unread):
        setattr(holder, name, value)


def _store_in_module(interpreter: Interpreter, holder: UserModule, name: str, value: Any) -> None:
    from vramlint.interpret import calls  # noqa: PLC0415  these modules need each other

    for one in holder.cls.lineage:
        for statement in one.node.body:
            if isinstance(statement, ast.FunctionDef) and statement.name == name and _is_setter(statement):
                interpreter.call(Function(statement, one.scope, one.outer, one), [holder, value], {})
                return
    if holder.base is not None and name in vars(holder.base):
        setattr(holder.base, name, value)
        return
    del calls
    holder.attributes[name] = value


def _is_setter(node: ast.FunctionDef) -> bool:
    return any(isinstance(one, ast.Attribute) and one.attr == "setter" for one in node.decorator_list)


def forget(holder: Any, name: str) -> None:
    """Do `del holder.name`."""
    if isinstance(holder, UserModule | Object | Record):
        holder.attributes.pop(name, None)
    elif isinstance(holder, Container):
        holder.parts.pop(name, None)
    elif isinstance(holder, Module):
        vars(holder).pop(name, None)


def item(interpreter: Interpreter, holder: Any, key: Any) -> Any:  # noqa: C901, PLR0911  one early return for each kind of value
    """Return `holder[key]`."""
    if isinstance(holder, Tensor | Parameter | Buffer):
        return functions.indexed(interpreter, interpreter.tensor(holder), key)
    if isinstance(holder, Data):
        return functions.data_item(interpreter, holder, key)
    if isinstance(holder, Unread):
        return holder.part(str(key))
    if isinstance(key, Unread):
        return Unread(key.reason)
    if isinstance(holder, Container):
        return _part(holder, key)
    if isinstance(holder, UserModule) and isinstance(holder.base, Container):
        return _part(holder.base, key)
    if isinstance(holder, UserModule | Object):
        return interpreter.call(attribute(interpreter, holder, "__getitem__"), [key], {})
    if isinstance(holder, Sequential):
        return [one for _, one in holder.children()][_plain_slice(key)]
    if isinstance(holder, Record):
        return holder.attributes[key] if isinstance(key, str) else list(holder.attributes.values())[key]
    if isinstance(holder, Parsed) and isinstance(key, str):
        return interpreter.names.of_parsed(holder, key)
    if isinstance(holder, Library) and holder.name == "os.environ":
        return Unread(f"{key} comes from the environment")
    if isinstance(holder, Library | UserClass):
        return holder  # a generic class, or a mapping of activations that is not read
    return holder[_plain_slice(key)]


def _plain_slice(key: Any) -> Any:
    return slice(key.start, key.stop, key.step) if isinstance(key, Slice) else key


def _part(holder: Container, key: Any) -> Any:
    if isinstance(key, str):
        return holder.parts[key]
    if isinstance(key, Slice):
        values = holder.listed[_plain_slice(key)]
        return Container(holder.kind, {str(index): value for index, value in enumerate(values)})
    return holder.listed[key]


def store_item(interpreter: Interpreter, holder: Any, key: Any, value: Any) -> Any:
    """Do `holder[key] = value`; a tensor that is written into comes back as what its name means from here on."""
    if isinstance(holder, dict | list):
        holder[_plain_slice(key)] = value
    elif isinstance(holder, Container):
        names = list(holder.parts)
        holder.parts[key if isinstance(key, str) else names[key]] = value
    elif isinstance(holder, UserModule) and isinstance(holder.base, Container):
        holder.base.parts[str(key)] = value
    elif isinstance(holder, Tensor):
        return functions.put(interpreter, holder, key, value)
    elif isinstance(holder, Object | Record) and isinstance(key, str):
        holder.attributes[key] = value
    return None


def mapping(interpreter: Interpreter, value: Any) -> Mapping[str, Any]:
    """Return what `**value` spreads."""
    if isinstance(value, dict):
        return value
    if isinstance(value, Record | Object):
        return value.attributes
    if isinstance(value, Unread):
        raise NotUnderstood(f"`**`: {value.reason}")
    del interpreter
    raise TypeError(f"a {python.kind_of(value)} is spread with `**`")
