"""What every module offers beside its own attributes: registration, its parts, what changes nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from vramlint.interpret import operators
from vramlint.interpret.modules import Container, UserModule, walk_modules
from vramlint.interpret.values import Native, Unread
from vramlint.memory.modules import Buffer, Module, Parameter
from vramlint.memory.tape import Tensor

if TYPE_CHECKING:
    from collections.abc import Callable

    from vramlint.interpret.interpreter import Interpreter

# Methods that return the module itself, or do nothing that memory would notice.
_SAME = frozenset({
    "to", "cuda", "cpu", "float", "half", "bfloat16", "double", "train", "eval", "apply", "type", "compile",
    "share_memory", "to_empty", "requires_grad_", "zero_grad", "load_state_dict", "state_dict", "extra_repr",
    "register_forward_hook", "register_forward_pre_hook", "register_full_backward_hook", "reset_parameters",
    "init_weights", "post_init", "save_hyperparameters", "log", "log_dict", "print", "tie_weights",
    "gradient_checkpointing_enable", "register_load_state_dict_post_hook", "_register_load_state_dict_pre_hook",
    "_init_weights", "__setstate__", "_reset_parameters", "flatten_parameters",
})  # fmt: skip


def method(interpreter: Interpreter, module: Module, name: str) -> Any:
    """Return a method or property that `nn.Module` has; raises AttributeError where it has none."""
    if name in _SAME:
        return Native(name, _unchanged(module, name))
    if name in _METHODS:
        function = _METHODS[name]
        return Native(name, lambda *args, **kwargs: function(interpreter, module, *args, **kwargs))
    if name == "training":
        return interpreter.training
    if name in {"device", "logger", "trainer", "hparams", "current_epoch", "global_step", "name_or_path"}:
        return Unread(f"`{name}` is known only at run time")
    if name == "__dict__":
        return module.attributes if isinstance(module, UserModule) else vars(module)
    if name == "_modules":
        return dict(module.children())
    raise AttributeError(f"`{_name(module)}` has no {name!r}")


def _name(module: Module) -> str:
    return module.cls.name if isinstance(module, UserModule) else type(module).__name__


def _unchanged(module: Module, name: str) -> Callable[..., Any]:
    def call(*args: Any, **_: Any) -> Any:
        if name == "requires_grad_":
            for parameter in module.parameters():
                parameter.trainable = bool(args[0]) if args else True
        return module

    return call


def _register_buffer(
    interpreter: Interpreter, module: Module, name: str, value: Any, persistent: Any = None
) -> None:
    del persistent
    _hold(module, name, as_buffer(interpreter, value))


def as_buffer(interpreter: Interpreter, value: Any) -> Any:
    """Return a tensor as a buffer; None and what is no tensor stay as they are."""
    tensor = interpreter.tensor(value) if isinstance(value, Parameter | Buffer) else value
    if isinstance(value, list):
        return Buffer(len(value))
    return Buffer(*tensor.shape, dtype=tensor.dtype) if isinstance(tensor, Tensor) else value


def _register(_interpreter: Interpreter, module: Module, name: str, value: Any) -> None:
    _hold(module, name, value)


def _hold(module: Module, name: str, value: Any) -> None:
    if isinstance(module, UserModule):
        module.attributes[name] = value
    elif isinstance(module, Container):
        module.parts[name] = value
    else:
        setattr(module, name, value)


def _parameters(_interpreter: Interpreter, module: Module, *_: Any, **__: Any) -> list[Any]:
    return list(module.parameters())


def _named_parameters(_interpreter: Interpreter, module: Module, *_: Any, **__: Any) -> list[Any]:
    return list(module.named_parameters())


def _modules(_interpreter: Interpreter, module: Module) -> list[Any]:
    return [one for _, one in walk_modules(module)]


def _named_modules(_interpreter: Interpreter, module: Module, *_: Any, **__: Any) -> list[Any]:
    return list(walk_modules(module))


def _children(_interpreter: Interpreter, module: Module) -> list[Any]:
    return [one for _, one in module.children()]


def _named_children(_interpreter: Interpreter, module: Module) -> list[Any]:
    return list(module.children())


def _buffers(_interpreter: Interpreter, module: Module, *_: Any, **__: Any) -> list[Any]:
    return [one for _, one in module.named_tensors() if isinstance(one, Buffer)]


def _submodule(_interpreter: Interpreter, module: Module, name: str) -> Any:
    return dict(walk_modules(module))[name]


_METHODS: dict[str, Callable[..., Any]] = {
    "register_buffer": _register_buffer,
    "register_parameter": _register,
    "add_module": _register,
    "register_module": _register,
    "parameters": _parameters,
    "named_parameters": _named_parameters,
    "modules": _modules,
    "named_modules": _named_modules,
    "children": _children,
    "named_children": _named_children,
    "buffers": _buffers,
    "get_submodule": _submodule,
    "__setattr__": _register,
    "get_parameter": _submodule,
}


def of_container(interpreter: Interpreter, module: Container, name: str) -> Any:  # noqa: PLR0911  one early return for each
    """Return a method of a container."""
    if name == "append":
        return Native(name, module.append)
    if name == "insert":
        return Native(name, module.insert)
    if name == "extend":
        return Native(name, lambda values: _extend(interpreter, module, values))
    if name in {"items", "keys", "values"}:
        return Native(name, lambda: list(getattr(module.parts, name)()))
    if name == "update":
        return Native(name, module.parts.update)
    if name == "pop":
        return Native(
            name, lambda key: module.parts.pop(key if isinstance(key, str) else list(module.parts)[key])
        )
    return method(interpreter, module, name)


def _extend(interpreter: Interpreter, module: Container, values: Any) -> Container:
    for value in operators.iterated(interpreter, values):
        module.append(value)
    return module
