"""Tensors as the user's code sees them: attributes, methods, indexing; and tensors of the batch."""

from __future__ import annotations

from math import prod
from typing import TYPE_CHECKING, Any

from vramlint.interpret.values import Data, Native, NotUnderstood, Reached, Slice, Unread
from vramlint.memory.dtypes import BOOL, INT64
from vramlint.memory.operators import views
from vramlint.memory.operators.indexing import put_rows, take_rows
from vramlint.memory.operators.products import broadcast
from vramlint.memory.tape import Tensor

if TYPE_CHECKING:
    from vramlint.interpret.interpreter import Interpreter

# What returns the same tensor of the batch, wherever it is and whatever type it has.
_SAME_DATA = frozenset({
    "to", "cuda", "cpu", "float", "long", "int", "half", "double", "contiguous", "detach", "clone", "requires_grad_",
    "type", "pin_memory", "data", "bfloat16", "type_as", "squeeze", "bool",
})  # fmt: skip
_STRUCTURE = frozenset({"items", "keys", "values", "get", "pop"})


def count(shape: Any) -> int:
    """Return how many elements a shape has."""
    return prod(shape)


def of_tensor(interpreter: Interpreter, value: Any, name: str) -> Any:  # noqa: C901, PLR0911, PLR0912  one early return for each attribute
    """Return an attribute or method of a tensor."""
    if name == "shape":
        return tuple(value.shape)
    if name == "dtype":
        return value.dtype
    if name == "ndim":
        return len(value.shape)
    if name == "requires_grad":
        return value.trainable if hasattr(value, "trainable") else getattr(value, "node", None) is not None
    if name in {"device", "layout", "grad_fn", "_version"}:
        return Unread(f"the {name} of a tensor is known only at run time")
    if name in {"is_cuda", "is_leaf"}:
        return True
    if name == "is_sparse":
        return False
    if name == "grad":
        return None
    if name == "requires_grad_":
        return Native(name, lambda flag=True: _set_trainable(value, flag))
    if name == "backward":
        return Native(name, lambda *_, **__: _reach(interpreter.tensor(value)))
    tensor = interpreter.tensor(value)
    if name == "data":
        return tensor.detached()
    if name in {"T", "mT", "H"}:
        last = len(tensor.shape) - 1
        return views.transpose(tensor, last - 1, last) if last > 0 else tensor
    from vramlint.interpret import operations  # noqa: PLC0415  these modules need each other

    if name not in operations.OPERATIONS:
        raise AttributeError(f"the tensor operation `{name}` is not read")
    return Native(name, lambda *args, **kwargs: operations.apply(interpreter, name, [tensor, *args], kwargs))


def _set_trainable(value: Any, flag: Any) -> Any:
    if hasattr(value, "trainable"):
        value.trainable = bool(flag)
    return value


def backward_of(value: Unread) -> Native:
    """Return the backward of a loss that is not known: the loop ends there all the same."""
    return Native("backward", lambda loss=None, **_: _reach(value if loss is None else loss))


def _reach(loss: Any) -> None:
    raise Reached(loss)


def of_data(interpreter: Interpreter, value: Data, name: str) -> Any:  # noqa: C901, PLR0911  one early return for each attribute
    """Return an attribute or method of a batch, or of a tensor in it."""
    if value.tensor is not None:
        return of_tensor(interpreter, value.tensor, name)
    if name in {"x", "y"}:
        return value.part(name)
    if name in _SAME_DATA:
        return value if name == "data" else Native(name, lambda *_, **__: value)
    if name in _STRUCTURE:
        return Native(name, lambda key=None, *_: value.part(key))
    if name == "backward":
        return Native(name, lambda loss=None, **_: _reach(value if loss is None else loss))
    if name == "scale":  # of a GradScaler: one more scalar
        return Native(name, lambda loss=None, *_: loss * 1.0 if isinstance(loss, Tensor) else loss)
    materials = interpreter.materials
    if materials is not None and name == "size":
        return Native(name, lambda axis=None: _size(interpreter, value, axis))
    if materials is not None and name in {"view", "reshape"}:
        return Native(name, lambda *shape: materials.viewed(interpreter, value, shape))
    from vramlint.interpret import operations  # noqa: PLC0415  these modules need each other

    if materials is not None and (name in operations.OPERATIONS or name in {"shape", "ndim", "dtype"}):
        return _operation_of_data(interpreter, value, name)
    if name == "device":
        return Unread("the device is known only at run time")
    return value.part(name)


def _operation_of_data(interpreter: Interpreter, value: Data, name: str) -> Any:
    if name in {"shape", "ndim", "dtype"}:
        return value.part(name) if interpreter.materials is None else _shape_of(interpreter, value, name)
    return Native(
        name,
        lambda *args, **kwargs: of_tensor(interpreter, interpreter.tensor(value), name).call(*args, **kwargs),
    )


def _shape_of(interpreter: Interpreter, value: Data, name: str) -> Any:
    return of_tensor(interpreter, interpreter.tensor(value), name)


def _size(interpreter: Interpreter, value: Data, axis: Any) -> Any:
    assert interpreter.materials is not None
    if axis == 0:
        return interpreter.materials.rows
    shape = interpreter.tensor(value).shape
    return shape if axis is None else shape[axis]


def data_item(interpreter: Interpreter, value: Data, key: Any) -> Any:
    """Return an item of a batch: a part of it where it is a structure, else of the tensor that it is."""
    if value.tensor is not None:
        return indexed(interpreter, value.tensor, key)
    if isinstance(key, str | int | Unread):
        return value.part(key if isinstance(key, str | int) else "?")
    return indexed(interpreter, interpreter.tensor(value), key)


def indexed(interpreter: Interpreter, x: Tensor, key: Any) -> Tensor:
    """Return `x[key]`."""
    keys = list(key) if isinstance(key, tuple) else [key]
    keys = _spread(x, keys)
    axis, gathered = 0, []
    for one in keys:
        if one is None:
            x = views.reshape(x, (*x.shape[:axis], 1, *x.shape[axis:]))
            axis += 1
        elif isinstance(one, Slice):
            x = _sliced(x, axis, one)
            axis += 1
        elif isinstance(one, bool):
            raise NotUnderstood("a tensor is indexed by a truth value")
        elif isinstance(one, int):
            if not -x.shape[axis] <= one < x.shape[axis]:
                raise IndexError(f"index {one} of {x.shape[axis]} places")
            x = views.select(x, axis)
        else:
            gathered.append((axis, _index(interpreter, one)))
            axis += 1
    return _gather(x, gathered) if gathered else x


def _spread(x: Tensor, keys: list[Any]) -> list[Any]:
    """Write out `...` as the slices that it stands for."""
    if any(one is Ellipsis for one in keys):
        at = next(index for index, one in enumerate(keys) if one is Ellipsis)
        taken = sum(one is not None and one is not Ellipsis for one in keys)
        missing = len(x.shape) - taken
        return [*keys[:at], *(Slice(None, None, None) for _ in range(missing)), *keys[at + 1 :]]
    return keys


def _sliced(x: Tensor, axis: int, key: Slice) -> Tensor:
    for part in (key.start, key.stop, key.step):
        if isinstance(part, Unread):
            raise NotUnderstood(part.reason)
        if isinstance(part, Tensor):
            raise NotUnderstood("a tensor is sliced by another")
    places = range(x.shape[axis])[slice(key.start, key.stop, key.step)]
    return views.narrow(x, axis, len(places), abs(key.step or 1))


def _index(interpreter: Interpreter, key: Any) -> Tensor:
    if isinstance(key, list | range | tuple):
        return interpreter.tape.empty((len(key),), INT64)
    if isinstance(key, Data) and key.tensor is None and interpreter.materials is not None:
        return interpreter.materials.labels(interpreter, key)
    found = interpreter.tensor(key)
    if not isinstance(found, Tensor):
        raise NotUnderstood("a tensor is indexed by what is not known")
    if found.dtype is BOOL:
        raise NotUnderstood("how many elements a mask keeps depends on the data")
    return found


def _gather(x: Tensor, gathered: list[tuple[int, Tensor]]) -> Tensor:
    axes = [axis for axis, _ in gathered]
    shape: tuple[int, ...] = ()
    for _, index in gathered:
        shape = broadcast(shape, index.shape)
    rest = [size for axis, size in enumerate(x.shape) if axis not in axes]
    adjacent = axes == list(range(axes[0], axes[0] + len(axes)))
    at = axes[0] if adjacent else 0
    return take_rows(x, tuple(index for _, index in gathered), *rest[:at], *shape, *rest[at:])


def put(interpreter: Interpreter, x: Tensor, key: Any, value: Any) -> Tensor:
    """Return x after `x[key] = value`."""
    new = interpreter.tensor(value, x)
    if not isinstance(new, Tensor) or new.node is None:
        return x
    mask = new.detached()
    del key
    return put_rows(x, mask, new)
