"""Functions that make tensors: `torch.zeros`, `torch.arange`, `torch.randn` and their like."""

from __future__ import annotations

from math import ceil
from typing import TYPE_CHECKING, Any

from vramlint.interpret import shapes
from vramlint.interpret.values import Data, NotUnderstood, Unread
from vramlint.memory.dtypes import BOOL, FLOAT32, INT64, DType
from vramlint.memory.modules import Buffer, Parameter
from vramlint.memory.tape import Tensor

if TYPE_CHECKING:
    from collections.abc import Callable

    from vramlint.interpret.interpreter import Interpreter


def _sized(interpreter: Interpreter, *sizes: Any, dtype: Any = None, **named: Any) -> Tensor:
    given = named.get("size", sizes)
    return interpreter.tape.empty(
        shapes.flat((given,) if named.get("size") else sizes), _type(dtype, FLOAT32)
    )


def _legacy(interpreter: Interpreter, *args: Any, dtype: DType = FLOAT32) -> Any:
    """`torch.FloatTensor(…)`: of these sizes, or of these numbers."""
    if len(args) == 1 and not isinstance(args[0], int):
        return _tensor(interpreter, args[0], dtype=dtype)
    return _sized(interpreter, *args, dtype=dtype)


def _array(interpreter: Interpreter, data: Any, *_: Any, **__: Any) -> Any:
    """`np.array(data)`: numbers in host memory, followed where a model is made."""
    if interpreter.tape is not interpreter.scratch:
        return Unread("an array of numpy's is not followed in a step")
    is_nested = isinstance(data, list | tuple) and any(isinstance(one, list | tuple) for one in data)
    return _tensor(interpreter, data) if is_nested or not isinstance(data, list | tuple) else list(data)


def _type(given: Any, default: DType) -> DType:
    return given if isinstance(given, DType) else default


def _full(interpreter: Interpreter, size: Any, fill_value: Any = 0, dtype: Any = None, **_: Any) -> Tensor:
    default = BOOL if isinstance(fill_value, bool) else INT64 if isinstance(fill_value, int) else FLOAT32
    return interpreter.tape.empty(shapes.flat((size,)), _type(dtype, default))


def _arange(interpreter: Interpreter, *args: Any, dtype: Any = None, **named: Any) -> Tensor:
    bounds = [*args, *(named[key] for key in ("start", "end", "step") if key in named)]
    for one in bounds:
        if not isinstance(one, int | float):
            raise NotUnderstood("the length of `torch.arange` is not known")
    start, stop, step = (0, bounds[0], 1) if len(bounds) == 1 else (*bounds, 1)[:3]
    whole = all(isinstance(one, int) for one in bounds)
    return interpreter.tape.empty(
        (max(ceil((stop - start) / step), 0),), _type(dtype, INT64 if whole else FLOAT32)
    )


class Numbers(list[float]):
    """A small tensor whose numbers are known: `[x.item() for x in torch.linspace(…)]`."""

    __slots__ = ()


def _linspace(interpreter: Interpreter, start: Any, end: Any, steps: Any = 100, **_: Any) -> Any:
    shapes.flat((steps,))
    if not isinstance(start, int | float) or not isinstance(end, int | float):
        return interpreter.tape.empty((steps,), FLOAT32)
    if interpreter.tape is interpreter.scratch and steps < 512:  # noqa: PLR2004  depths, not schedules
        return Numbers(start + (end - start) * i / max(steps - 1, 1) for i in range(steps))
    return interpreter.tape.empty((steps,), FLOAT32)


def _eye(interpreter: Interpreter, n: int, m: Any = None, dtype: Any = None, **_: Any) -> Tensor:
    return interpreter.tape.empty((n, m or n), _type(dtype, FLOAT32))


def _randint(interpreter: Interpreter, *args: Any, dtype: Any = None, **named: Any) -> Tensor:
    size = named.get("size", args[-1])
    return interpreter.tape.empty(shapes.flat((size,)), _type(dtype, INT64))


def _permutation(interpreter: Interpreter, n: Any, **_: Any) -> Tensor:
    return interpreter.tape.empty(shapes.flat((n,)), INT64)


def _tensor(interpreter: Interpreter, data: Any, dtype: Any = None, **_: Any) -> Any:
    """`torch.tensor(data)`: as large as its lists are nested."""
    if isinstance(data, Tensor | Parameter | Buffer | Data):
        return data
    if isinstance(data, Unread):
        return Unread(data.reason)
    shape: list[int] = []
    while isinstance(data, list | tuple | range):
        shape.append(len(data))
        data = data[0] if len(data) else 0
    default = BOOL if isinstance(data, bool) else INT64 if isinstance(data, int) else FLOAT32
    return interpreter.tape.empty(tuple(shape), _type(dtype, default))


def _normal(interpreter: Interpreter, *args: Any, **named: Any) -> Tensor:
    if args and isinstance(args[0], Tensor):
        return interpreter.tape.empty(args[0].shape, args[0].dtype)
    return interpreter.tape.empty(shapes.flat((named.get("size", args[-1]),)), FLOAT32)


def _meshgrid(interpreter: Interpreter, *parts: Any, **_: Any) -> Any:
    listed = parts[0] if len(parts) == 1 and isinstance(parts[0], list | tuple) else parts
    sizes = tuple(interpreter.tensor(one).shape[0] for one in listed)
    return tuple(interpreter.tape.empty(sizes, interpreter.tensor(one).dtype) for one in listed)


def _finfo(_interpreter: Interpreter, *_: Any) -> Any:
    from vramlint.interpret.values import Record  # noqa: PLC0415  only here

    return Record({"min": -3.4e38, "max": 3.4e38, "eps": 1.2e-7, "tiny": 1.2e-38})


def _device(_interpreter: Interpreter, *_: Any, **__: Any) -> Unread:
    return Unread("the device is known only at run time")


def _true(_interpreter: Interpreter, *_: Any, **__: Any) -> bool:
    return True


def _false(_interpreter: Interpreter, *_: Any, **__: Any) -> bool:
    return False


def _size(_interpreter: Interpreter, sizes: Any) -> Any:
    return tuple(sizes)


FUNCTIONS: dict[str, Callable[..., Any]] = {
    **{f"torch.{name}": _sized for name in ("zeros", "ones", "empty", "randn", "rand")},
    "torch.FloatTensor": _legacy,
    "torch.Tensor": _legacy,
    "torch.LongTensor": lambda interpreter, *args: _legacy(interpreter, *args, dtype=INT64),
    "numpy.array": _array,
    "torch.full": _full,
    "torch.arange": _arange,
    "torch.linspace": _linspace,
    "torch.eye": _eye,
    "torch.randint": _randint,
    "torch.randperm": _permutation,
    "torch.tensor": _tensor,
    "torch.from_numpy": _tensor,
    "torch.normal": _normal,
    "torch.meshgrid": _meshgrid,
    "torch.finfo": _finfo,
    "torch.device": _device,
    "torch.Size": _size,
    "torch.is_tensor": lambda _, value: isinstance(value, Tensor | Parameter | Buffer | Data),
    "torch.cuda.is_available": _true,
    "torch.is_autocast_enabled": _false,
    "torch.is_grad_enabled": _true,
    "torch.jit.is_scripting": _false,
    "torch.jit.is_tracing": _false,
}
