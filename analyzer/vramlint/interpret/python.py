"""Python's own functions and the few of its libraries that models are written with."""

from __future__ import annotations

import builtins
import math
from itertools import accumulate, chain, product, repeat, zip_longest
from typing import TYPE_CHECKING, Any

from vramlint.interpret import operators
from vramlint.interpret.modules import Container, UserModule, is_module_class
from vramlint.interpret.values import (
    Data,
    Function,
    Library,
    Method,
    Native,
    NotUnderstood,
    Object,
    Partial,
    Record,
    Unread,
    UserClass,
)
from vramlint.memory.dtypes import BOOL, FLOAT64, INT8, INT32, INT64, UINT8, dtype_named
from vramlint.memory.modules import Buffer, Module, Parameter
from vramlint.memory.tape import Tensor

if TYPE_CHECKING:
    from collections.abc import Callable

    from vramlint.interpret.interpreter import Interpreter

BUILTINS = frozenset(dir(builtins))
_DTYPES = {
    "float": "float32", "half": "float16", "double": "float64", "long": "int64", "int": "int32",
    "bool": "bool", "uint8": "uint8", "int8": "int8", "float32": "float32", "float16": "float16",
    "bfloat16": "bfloat16", "float64": "float64", "int64": "int64", "int32": "int32",
}  # fmt: skip
_SHORT = {INT64: "int64", INT32: "int32", BOOL: "bool", FLOAT64: "float64", UINT8: "uint8", INT8: "int8"}
_CONSTANTS = {
    "math.pi": math.pi,
    "math.inf": math.inf,
    "math.e": math.e,
    "numpy.pi": math.pi,
    "numpy.inf": math.inf,
    "torch.pi": math.pi,
    "torch.inf": math.inf,
    "sys.maxsize": 2**63 - 1,
    "torch.__version__": "2.13.0",
}
_MATH = frozenset({
    "sqrt", "log", "log2", "log10", "ceil", "floor", "exp", "sin", "cos", "tan", "tanh", "gcd", "isqrt",
    "prod", "fabs", "erf", "atan", "log1p", "trunc", "fsum",
})  # fmt: skip


def library(name: str) -> Any:
    """Return a library's name: element types and constants as themselves."""
    if name in _CONSTANTS:
        return _CONSTANTS[name]
    package, _, last = name.rpartition(".")
    if package == "torch" and last in _DTYPES:
        return dtype_named(_DTYPES[last])
    return Library(name)


def kind_of(value: Any) -> str:
    """Return what a message calls a value."""
    return "tensor" if isinstance(value, Tensor | Data) else type(value).__name__


def call(interpreter: Interpreter, name: str, args: list[Any], kwargs: dict[str, Any]) -> Any:
    """Call a built-in function; raises KeyError for one that is not known."""
    if name in _FREE:
        return _FREE[name](interpreter, *args, **kwargs)
    for value in (*args, *kwargs.values()):
        if isinstance(value, Unread):
            return Unread(value.reason)
    return _PLAIN[name](*_listed(interpreter, name, args), **kwargs)


def _listed(interpreter: Interpreter, name: str, args: list[Any]) -> list[Any]:
    if name not in _SEQUENCES:
        return args
    return [
        list(operators.iterated(interpreter, one)) if isinstance(one, Container | range) else one
        for one in args
    ]


def _isinstance(interpreter: Interpreter, value: Any, kinds: Any) -> Any:
    if isinstance(kinds, tuple | list):
        answers = [_isinstance(interpreter, value, kind) for kind in kinds]
        return (
            True if True in answers else answers[0] if all(one is False for one in answers) else Unread("?")
        )
    if isinstance(kinds, UserClass):
        if isinstance(value, UserModule | Object):
            return kinds in value.cls.lineage
        return Unread(value.reason) if isinstance(value, Unread) and not isinstance(value, Data) else False
    if isinstance(value, Data):
        return isinstance(kinds, Library) and kinds.last == "Tensor"
    if isinstance(value, Unread):
        return Unread(value.reason)
    return isinstance(kinds, Library) and kinds.last in kinds_of(value)


def kinds_of(value: Any) -> set[str]:  # noqa: PLR0911  one early return for each kind of value
    """Return the names of the library classes that a value is of."""
    if isinstance(value, UserModule):
        return {"Module", *(name.rpartition(".")[2] for name in value.cls.bases)}
    if isinstance(value, Container):
        return {"Module", value.kind}
    if isinstance(value, Module):
        return {"Module", str(getattr(value, "kind", type(value).__name__))}
    if isinstance(value, Parameter):
        return {"Tensor", "Parameter"}
    if isinstance(value, Tensor | Buffer):
        return {"Tensor"}
    if isinstance(value, dict):
        return {"dict", "OrderedDict", "Mapping"}
    if isinstance(value, list | tuple):
        return {type(value).__name__, "Sequence", "Iterable"}
    if isinstance(value, Function | Method | Partial):
        return {"Callable", "FunctionType"}
    return {type(value).__name__} | ({"int"} if isinstance(value, bool) else set())


def _hasattr(interpreter: Interpreter, value: Any, name: str) -> Any:
    from vramlint.interpret.attributes import attribute  # noqa: PLC0415  these modules need each other

    if isinstance(value, Unread):
        return Unread(value.reason)
    try:
        found = attribute(interpreter, value, name)
    except AttributeError:
        return False
    return not (isinstance(found, Unread) and not isinstance(found, Data))


def _getattr(interpreter: Interpreter, value: Any, name: str, *default: Any) -> Any:
    from vramlint.interpret.attributes import attribute  # noqa: PLC0415  these modules need each other

    if not default:
        return attribute(interpreter, value, name)
    return attribute(interpreter, value, name) if _hasattr(interpreter, value, name) is True else default[0]


def _setattr(interpreter: Interpreter, value: Any, name: str, new: Any) -> None:
    from vramlint.interpret.attributes import store  # noqa: PLC0415  these modules need each other

    store(interpreter, value, name, new)


def _len(interpreter: Interpreter, value: Any) -> Any:
    if isinstance(value, Container):
        return len(value.parts)
    if isinstance(value, Tensor | Parameter | Buffer):
        return value.shape[0]
    if isinstance(value, Data) and interpreter.materials is not None:
        return interpreter.materials.rows
    if isinstance(value, Object):
        return interpreter.call(_getattr(interpreter, value, "__len__"), [], {})
    return Unread(value.reason) if isinstance(value, Unread) else len(value)


def _sum(interpreter: Interpreter, values: Any, start: Any = 0) -> Any:
    import ast  # noqa: PLC0415  only the kind of operator is wanted

    for value in operators.iterated(interpreter, values):
        start = (
            value
            if start == 0 and isinstance(value, Tensor)
            else (operators.binary(interpreter, ast.Add, start, value))
        )
    return start


def _map(interpreter: Interpreter, function: Any, *values: Any) -> list[Any]:
    listed = [list(operators.iterated(interpreter, one)) for one in values]
    return [interpreter.call(function, list(parts), {}) for parts in zip(*listed, strict=False)]


def _filter(interpreter: Interpreter, function: Any, values: Any) -> list[Any]:
    kept = []
    for value in operators.iterated(interpreter, values):
        answer = value if function is None else interpreter.call(function, [value], {})
        if operators.truth(interpreter, answer):
            kept.append(value)
    return kept


def _type(_interpreter: Interpreter, value: Any) -> Any:
    return value.cls if isinstance(value, UserModule | Object) else Library(f"builtins.{kind_of(value)}")


def _callable(_interpreter: Interpreter, value: Any) -> bool:
    return isinstance(value, Function | Method | Module | UserClass | Library | Native | Partial)


def _print(_interpreter: Interpreter, *_args: Any, **_kwargs: Any) -> None:
    return None


def _issubclass(interpreter: Interpreter, cls: Any, kinds: Any) -> Any:
    del interpreter
    if isinstance(cls, UserClass):
        return kinds in cls.lineage if isinstance(kinds, UserClass) else is_module_class(cls)
    return Unread("a class is not known")


def _zip(interpreter: Interpreter, *values: Any, strict: bool = False) -> Any:
    listed = [_series(interpreter, one) for one in values]
    return list(zip(*listed, strict=strict))


def _series(interpreter: Interpreter, value: Any) -> Any:
    return value if isinstance(value, range | repeat) else list(operators.iterated(interpreter, value))


def _enumerate(interpreter: Interpreter, values: Any, start: int = 0) -> Any:
    if isinstance(values, Unread):
        return type(values)(values.reason)
    return list(enumerate(operators.iterated(interpreter, values), start))


def _reversed(interpreter: Interpreter, values: Any) -> list[Any]:
    return list(operators.iterated(interpreter, values))[::-1]


def _sequence(kind: Callable[[Any], Any]) -> Callable[..., Any]:
    def made(interpreter: Interpreter, values: Any = ()) -> Any:
        return kind(operators.iterated(interpreter, values))

    return made


def _dict(interpreter: Interpreter, *args: Any, **kwargs: Any) -> Any:
    from vramlint.interpret.attributes import mapping  # noqa: PLC0415  these modules need each other

    made: dict[Any, Any] = {}
    for one in args:
        made.update(dict(one) if isinstance(one, list | tuple) else mapping(interpreter, one))
    return {**made, **kwargs}


def _range(_interpreter: Interpreter, *args: Any) -> Any:
    for one in args:
        if isinstance(one, Unread):
            raise NotUnderstood(one.reason)
    return range(*args)


def _all(interpreter: Interpreter, values: Any) -> Any:
    answers = [operators.truth(interpreter, one) for one in operators.iterated(interpreter, values)]
    return False if False in answers else Unread("a test depends on the run") if None in answers else True


def _any(interpreter: Interpreter, values: Any) -> Any:
    answers = [operators.truth(interpreter, one) for one in operators.iterated(interpreter, values)]
    return True if True in answers else Unread("a test depends on the run") if None in answers else False


def _namespace(_interpreter: Interpreter, **kwargs: Any) -> Record:
    return Record(dict(kwargs))


def _partial(_interpreter: Interpreter, function: Any, *args: Any, **kwargs: Any) -> Partial:
    return Partial(function, args, kwargs)


def _deepcopy(interpreter: Interpreter, value: Any, *_: Any) -> Any:
    return interpreter.deepcopy(value)


def _next(interpreter: Interpreter, values: Any, *default: Any) -> Any:
    if isinstance(values, Unread):
        return Data("the next batch")
    for value in operators.iterated(interpreter, values):
        return value
    return default[0]


def _same(_interpreter: Interpreter, value: Any, *_: Any, **__: Any) -> Any:
    return value


def _extreme(function: Callable[..., Any]) -> Callable[..., Any]:
    def made(interpreter: Interpreter, *args: Any, **kwargs: Any) -> Any:
        values = list(operators.iterated(interpreter, args[0])) if len(args) == 1 else list(args)
        for one in values:
            if isinstance(one, Unread):
                return Unread(one.reason)
        key = kwargs.get("key")
        if key is not None:
            return function(values, key=lambda one: interpreter.call(key, [one], {}))
        return function(values) if values else kwargs.get("default")

    return made


def _sorted(interpreter: Interpreter, values: Any, key: Any = None, reverse: bool = False) -> Any:  # noqa: FBT001, FBT002  as in Python
    listed = list(operators.iterated(interpreter, values))
    by = None if key is None else lambda one: interpreter.call(key, [one], {})
    return sorted(listed, key=by, reverse=reverse)


_FREE: dict[str, Callable[..., Any]] = {
    "builtins.isinstance": _isinstance,
    "builtins.issubclass": _issubclass,
    "builtins.hasattr": _hasattr,
    "builtins.getattr": _getattr,
    "builtins.setattr": _setattr,
    "builtins.len": _len,
    "builtins.sum": _sum,
    "builtins.map": _map,
    "builtins.filter": _filter,
    "builtins.type": _type,
    "builtins.callable": _callable,
    "builtins.print": _print,
    "builtins.zip": _zip,
    "builtins.enumerate": _enumerate,
    "builtins.reversed": _reversed,
    "builtins.list": _sequence(list),
    "builtins.tuple": _sequence(tuple),
    "builtins.set": _sequence(set),
    "builtins.iter": _same,
    "builtins.dict": _dict,
    "collections.OrderedDict": _dict,
    "builtins.range": _range,
    "builtins.all": _all,
    "builtins.any": _any,
    "builtins.next": _next,
    "builtins.min": _extreme(min),
    "builtins.max": _extreme(max),
    "builtins.sorted": _sorted,
    "types.SimpleNamespace": _namespace,
    "argparse.Namespace": _namespace,
    "functools.partial": _partial,
    "copy.deepcopy": _deepcopy,
    "copy.copy": _same,
    "tqdm.tqdm": _same,
    "inspect.isfunction": _callable,
    "inspect.isclass": lambda _interpreter, value: isinstance(value, UserClass),
    "typing.cast": lambda _interpreter, _kind, value: value,
    "warnings.warn": _print,
}
_PLAIN: dict[str, Callable[..., Any]] = {
    "builtins.int": int,
    "builtins.float": float,
    "builtins.str": str,
    "builtins.bool": bool,
    "builtins.abs": abs,
    "builtins.round": round,
    "builtins.divmod": divmod,
    "builtins.slice": slice,
    "builtins.repr": str,
    "math.pow": lambda a, b: float(a) ** float(b),
    "itertools.chain": lambda *parts: list(chain(*parts)),
    "itertools.product": lambda *parts: list(product(*parts)),
    "itertools.repeat": repeat,
    "itertools.accumulate": lambda values: list(accumulate(values)),
    "itertools.zip_longest": lambda *parts: list(zip_longest(*parts)),
    "numpy.prod": math.prod,
    "numpy.cumsum": lambda values: list(accumulate(values)),
    "numpy.arange": lambda *args: list(range(*args)),
    "numpy.linspace": lambda a, b, n: [a + (b - a) * i / max(n - 1, 1) for i in range(n)],
    "numpy.power": lambda a, b: float(a) ** float(b),
    "numpy.abs": abs,
    "numpy.maximum": max,
    "numpy.minimum": min,
    "operator.mul": lambda a, b: a * b,
    **{f"math.{name}": getattr(math, name) for name in _MATH},
    **{f"numpy.{name}": getattr(math, name) for name in _MATH - {"prod"}},
}
_SEQUENCES = frozenset({"itertools.chain", "itertools.product", "numpy.prod", "math.prod"})
KNOWN = frozenset({*_FREE, *_PLAIN})
