"""Calls of library functions: torch's layers, operations and constructors, and what leaves memory alone."""

from __future__ import annotations

from contextlib import contextmanager, nullcontext
from typing import TYPE_CHECKING, Any

from vramlint.interpret import creation, layers, operations, python, rearrange
from vramlint.interpret.modules import CalledByName, Container, UserModule
from vramlint.interpret.values import (
    Data,
    Library,
    Method,
    NotUnderstood,
    Record,
    Unread,
)
from vramlint.memory.families.vision_heads import ImageClassifier
from vramlint.memory.modules import Buffer, Module, Parameter, Recomputation, checkpoint
from vramlint.memory.tape import Tensor

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from vramlint.interpret.interpreter import Interpreter

_OPERATIONS = ("torch.nn.functional.", "torch.Tensor.", "torch.special.", "torch.linalg.", "torch.")
_LAYERS = ("torch.nn.modules.", "torch.nn.")
_SAME_MODULE = frozenset({
    "torch.compile", "torch.nn.DataParallel", "torch.nn.parallel.DistributedDataParallel", "torch.jit.script",
    "torch.nn.utils.weight_norm", "torch.nn.utils.spectral_norm", "torch.nn.utils.parametrizations.weight_norm",
    "torch.nn.utils.parametrizations.spectral_norm", "torch.nn.SyncBatchNorm.convert_sync_batchnorm",
    "torch.nn.parallel.DataParallel", "copy.copy", "torch.as_tensor", "torch.autograd.Variable", "torch.jit.export",
})  # fmt: skip
# Functions that take tensors as they take everything else.
_OF_ANYTHING = frozenset({
    "builtins.len", "builtins.isinstance", "builtins.getattr", "builtins.hasattr", "builtins.setattr",
    "builtins.print", "builtins.type", "builtins.callable", "builtins.list", "builtins.tuple", "builtins.zip",
    "builtins.enumerate", "builtins.sum", "builtins.reversed", "copy.deepcopy",
})  # fmt: skip
# Numpy's functions of arrays that are torch's of tensors.
_OF_ARRAYS = frozenset({"sin", "cos", "exp", "log", "sqrt", "tanh", "abs"})
_CHECKPOINT = frozenset({"torch.utils.checkpoint.checkpoint", "deepspeed.checkpointing.checkpoint"})


def call(  # noqa: C901, PLR0911, PLR0912  one early return for each kind of function
    interpreter: Interpreter, function: Library, args: list[Any], kwargs: dict[str, Any]
) -> Any:
    """Call a function of a library; one that is not known gives a value that is not known."""
    name = function.name
    if name in python.KNOWN and not any(isinstance(one, Tensor | Parameter | Buffer) for one in args[:1]):
        return python.call(interpreter, name, args, kwargs)
    if name in _OF_ANYTHING:
        return python.call(interpreter, name, args, kwargs)
    if name in _SAME_MODULE:
        return args[0] if args else next(iter(kwargs.values()))
    if name in _CHECKPOINT:
        return checkpointed(interpreter, args, kwargs)
    if name.startswith("torch.nn.init."):
        return args[0] if args else None
    if name == "torch.nn.Parameter" or name.endswith("nn.parameter.Parameter"):
        return parameter(interpreter, *args, **kwargs)
    manager = _manager(function, kwargs)
    if manager is not None:
        return manager
    if name.startswith("einops."):
        return rearrange.call(interpreter, function.last, args, kwargs)
    if name in creation.FUNCTIONS:
        return creation.FUNCTIONS[name](interpreter, *args, **kwargs)
    for prefix in _OPERATIONS:
        short = name.removeprefix(prefix)
        if name.startswith(prefix) and short in operations.OPERATIONS:
            return operations.apply(interpreter, short, args, kwargs)
    if name.startswith("numpy.") and interpreter.tape is interpreter.scratch and function.last in _OF_ARRAYS:
        return operations.apply(interpreter, function.last, args, kwargs)
    for prefix in _LAYERS:
        if name.startswith(prefix):
            return _layer(name.removeprefix(prefix).rpartition(".")[2], args, kwargs)
    if name.startswith("builtins."):
        return _builtin(interpreter, function.last, args, kwargs)
    return _foreign(interpreter, function, args, kwargs)


def _layer(name: str, args: list[Any], kwargs: dict[str, Any]) -> Any:
    try:
        return layers.make(name, args, kwargs)
    except KeyError:
        return Unread(f"the layer `nn.{name}` is not walked yet")


def _builtin(interpreter: Interpreter, name: str, args: list[Any], kwargs: dict[str, Any]) -> Any:
    if name in {"abs", "max", "min", "pow", "round"} and args:
        return operations.apply(interpreter, {"round": "round"}.get(name, name), args, kwargs)
    if name in {"float", "int", "bool", "str"}:
        return Unread("a number that is read from a tensor is known only at run time")
    if name in {"Exception", "ValueError", "object"}:
        return Record({})
    return Unread(f"`{name}` is not followed")


def _foreign(interpreter: Interpreter, function: Library, args: list[Any], kwargs: dict[str, Any]) -> Any:
    from vramlint.interpret import foreign  # noqa: PLC0415  few models have parts of other libraries

    made = foreign.call(interpreter, function, args, kwargs)
    return Unread(f"`{function.name}` is not read") if made is None else made


class Manager(Unread):
    """What `with` enters: autocast, no_grad, or something that changes nothing here."""

    __slots__ = ("manager",)

    def __init__(self, reason: str, manager: Callable[[Interpreter], Any]) -> None:
        super().__init__(reason)
        self.manager = manager


@contextmanager
def _no_grad(interpreter: Interpreter) -> Iterator[None]:
    with interpreter.tape.no_grad():
        yield


@contextmanager
def _autocast(interpreter: Interpreter) -> Iterator[None]:
    with interpreter.tape.autocast_to(interpreter.autocast):
        yield


@contextmanager
def _full_precision(interpreter: Interpreter) -> Iterator[None]:
    with interpreter.tape.autocast_to(None):
        yield


def _manager(function: Library, kwargs: dict[str, Any]) -> Manager | None:
    if function.last in {"no_grad", "inference_mode"}:
        return Manager(function.name, _no_grad)
    if function.last == "autocast":
        off = kwargs.get("enabled") is False
        return Manager(function.name, _full_precision if off else _autocast)
    if function.last in {"nullcontext", "no_sync", "record_function", "enable_grad", "set_detect_anomaly"}:
        return Manager(function.name, lambda _: nullcontext())
    return None


def parameter(interpreter: Interpreter, data: Any = None, requires_grad: Any = True) -> Any:  # noqa: FBT002  as in torch
    """Return `nn.Parameter(data)`."""
    if isinstance(data, Parameter):
        return data
    tensor = interpreter.tensor(data)
    if not isinstance(tensor, Tensor):
        raise NotUnderstood("the shape of an `nn.Parameter` is not known")
    made = Parameter(*tensor.shape)
    made.trainable = requires_grad is not False
    return made


class _Segment:
    """A function that is checkpointed, as the engine takes a layer: called, and asked for its weights."""

    label = None

    def __init__(self, interpreter: Interpreter, function: Any, kwargs: dict[str, Any]) -> None:
        self.interpreter, self.function, self.kwargs = interpreter, function, kwargs

    def __call__(self, *args: Any) -> Any:
        return self.interpreter.call(self.function, list(args), dict(self.kwargs))

    def parameters(self) -> Iterator[Parameter]:
        """Yield the weights of the module that is called."""
        owner = self.function.of if isinstance(self.function, Method) else self.function
        if isinstance(owner, Module):
            yield from owner.parameters()


def checkpointed(interpreter: Interpreter, args: list[Any], kwargs: dict[str, Any]) -> Any:
    """`torch.utils.checkpoint.checkpoint(function, x, …)`."""
    reentrant = bool(kwargs.pop("use_reentrant", True))
    kwargs.pop("preserve_rng_state", None)
    function, *rest = args
    inputs = [interpreter.tensor(one) if isinstance(one, Data | Parameter | Buffer) else one for one in rest]
    at = next((i for i, one in enumerate(inputs) if isinstance(one, Tensor)), None)
    if at is None:
        return interpreter.call(function, inputs, kwargs)
    if at > 0:
        raise NotUnderstood("a checkpointed function takes its tensor first here")
    segment: Any = _Segment(interpreter, function, kwargs)
    return checkpoint(segment, inputs[0], *inputs[1:], how=Recomputation(reentrant=reentrant))


def apply_layer(interpreter: Interpreter, layer: Module, args: list[Any], kwargs: dict[str, Any]) -> Any:
    """Run a layer; a tensor of the batch takes the shape that the layer needs."""
    if isinstance(layer, Container):
        return _in_order(interpreter, layer, args)
    if isinstance(layer, ImageClassifier):
        return layer.logits(_images(interpreter, args[0]))
    if isinstance(layer, layers.Loss):
        return operations.apply(interpreter, layer.operation, args, {**kwargs, **layer.given})
    if isinstance(layer, CalledByName):
        return layer.run(interpreter, args, kwargs)
    interpreter.ensure_placed(layer)
    materials = interpreter.materials
    for index, one in enumerate(args):
        if isinstance(one, Data) and one.tensor is None and materials is not None:
            args[index] = materials.for_layer(interpreter, one, layer)
    given = [_as_tensor(interpreter, one) for one in args]
    named = {key: _as_tensor(interpreter, one) for key, one in kwargs.items()}
    if isinstance(layer, layers.Applied) and layer.kind.startswith("Dropout") and not interpreter.training:
        return given[0]
    return layer(*given, **named)


def _images(interpreter: Interpreter, value: Any) -> Tensor:
    """Return what a library's image model is fed."""
    if isinstance(value, Data) and value.tensor is None and interpreter.materials is not None:
        return interpreter.materials.of_rank(interpreter, value, 4)
    found = interpreter.tensor(value)
    if not isinstance(found, Tensor):
        raise NotUnderstood("an image model gets what is no tensor")
    return found


def _as_tensor(interpreter: Interpreter, value: Any) -> Any:
    if isinstance(value, list | tuple):
        return tuple(_as_tensor(interpreter, one) for one in value)
    if isinstance(value, Unread) and not isinstance(value, Data):
        raise NotUnderstood(value.reason)
    return interpreter.tensor(value) if isinstance(value, Parameter | Buffer | Data | Tensor) else value


def _in_order(interpreter: Interpreter, container: Container, args: list[Any]) -> Any:
    if container.kind != "Sequential":
        raise NotUnderstood(f"an nn.{container.kind} is called")
    x = args[0]
    args.clear()
    for part in container.listed:
        held = [x]
        del x
        x = interpreter.call(part, held, {})
        del held
    return x


def inherited_init(interpreter: Interpreter, module: Any, args: Any, kwargs: Any) -> None:
    """Do what a library's constructor does for a class that derives from it."""
    if not isinstance(module, UserModule):
        return
    for name in module.cls.bases:
        short = name.rpartition(".")[2]
        if not name.startswith("torch.nn.") or short == "Module":
            continue
        try:
            module.base = layers.make(short, list(args), dict(kwargs))
        except KeyError:
            raise NotUnderstood(
                f"`{module.cls.name}` derives from `nn.{short}`, which is not walked yet"
            ) from None
        if isinstance(module.base, Container):
            module.attributes.update(module.base.parts)
            module.base.parts = module.attributes
        return
    for name in module.cls.bases:
        if name.startswith(("timm.", "torchvision.models")):
            raise NotUnderstood(f"`{module.cls.name}` derives from `{name}`, which is not read")
    del interpreter


def inherited(interpreter: Interpreter, module: UserModule, args: Any, kwargs: Any) -> Any:
    """Do what `super().forward(…)` does for a class that derives from a layer."""
    if module.base is None:
        raise NotUnderstood(f"`super().forward` of `{module.cls.name}` is not read")
    return apply_layer(interpreter, module.base, list(args), dict(kwargs))
