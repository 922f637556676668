"""What the kernel holds already: models, optimizer states and the GPU; nothing of the user's is run to look.

torch is used only where the session has imported it, and CUDA only where the session has initialised it.
"""

from __future__ import annotations

import sys
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping


@dataclass(frozen=True, slots=True)
class LiveModel:
    """A model: its type, counts of parameters, bytes of parameters and buffers, parameters of each dtype, devices."""

    name: str
    kind: str
    parameters: int
    trainable: int
    bytes: int
    dtypes: Mapping[str, int]
    devices: tuple[str, ...]
    config: Mapping[str, Any] | None = None
    attention: str | None = None
    id: str | None = None

    @property
    def dtype(self) -> str | None:
        """Return the dtype of most parameters."""
        return max(self.dtypes, key=lambda name: self.dtypes[name], default=None)


@dataclass(frozen=True, slots=True)
class LiveOptimizer:
    """An optimizer: its type, the options that change memory, and the bytes of its states by their names."""

    name: str
    kind: str
    options: Mapping[str, Any]
    states: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class LiveGpu:
    """A GPU in bytes: what it has, what is free, and what this kernel's allocator holds."""

    name: str
    total: int
    free: int
    allocated: int
    reserved: int


@dataclass(frozen=True, slots=True)
class Live:
    """All of it; empty in a session without torch."""

    models: tuple[LiveModel, ...] = ()
    optimizers: tuple[LiveOptimizer, ...] = ()
    gpu: LiveGpu | None = None
    libraries: Mapping[str, str] | None = None


def look(namespace: Mapping[str, object]) -> Live:
    """Return what the variables of a session and its GPU say."""
    torch = sys.modules.get("torch")
    if torch is None or not hasattr(torch, "nn"):
        return Live()
    values = {name: value for name, value in namespace.items() if not name.startswith("_")}
    return Live(tuple(_models(torch, values)), tuple(_optimizers(torch, values)), _gpu(torch), _libraries())


def _models(torch: Any, values: Mapping[str, object]) -> Iterator[LiveModel]:
    found: dict[int, tuple[str, object]] = {}
    for name, value in values.items():
        if _is(value, torch.nn.Module):
            found.setdefault(id(value), (name, value))
    parts = {id(part) for _, whole in found.values() for part in _parts(torch, whole) if part is not whole}
    for name, module in found.values():
        # A part of another variable is not a model of its own; what has no parameters is a loss or a function.
        if id(module) not in parts and (model := _model(torch, name, module)) is not None:
            yield model


def _parts(torch: Any, module: Any) -> Iterator[object]:
    return iter(torch.nn.Module.modules(module))


def _model(torch: Any, name: str, module: Any) -> LiveModel | None:
    parameters = [one for one in torch.nn.Module.parameters(module) if not torch.nn.parameter.is_lazy(one)]
    if not parameters:
        return None
    buffers = list(torch.nn.Module.buffers(module))
    dtypes: Counter[str] = Counter()
    for one in parameters:
        dtypes[_dtype(one)] += one.numel()
    config = _config(module)
    return LiveModel(
        name,
        _kind(module),
        sum(one.numel() for one in parameters),
        sum(one.numel() for one in parameters if one.requires_grad),
        sum(one.numel() * one.element_size() for one in (*parameters, *buffers)),
        dict(dtypes),
        tuple(sorted({str(one.device) for one in parameters})),
        None if config is None else config.to_dict(),
        None if config is None else vars(config).get("_attn_implementation_internal"),
        None if config is None else vars(config).get("_name_or_path") or None,
    )


def _config(module: Any) -> Any:
    """Return the configuration of a transformers model; classes of the user's own are not asked."""
    config = vars(module).get("config")
    return config if type(config).__module__.startswith("transformers.") else None


def _optimizers(torch: Any, values: Mapping[str, object]) -> Iterator[LiveOptimizer]:
    seen: set[int] = set()
    for name, value in values.items():
        if not _is(value, torch.optim.Optimizer) or id(value) in seen:
            continue
        seen.add(id(value))
        optimizer: Any = value
        states: Counter[str] = Counter()
        for state in vars(optimizer).get("state", {}).values():
            for key, one in state.items():
                if torch.is_tensor(one):
                    states[str(key)] += one.numel() * one.element_size()
        yield LiveOptimizer(name, _kind(value), dict(vars(optimizer).get("defaults", {})), dict(states))


def _gpu(torch: Any) -> LiveGpu | None:
    """Return the current GPU; asking must not be what initialises CUDA."""
    if torch.version.cuda is None or not torch.cuda.is_initialized():
        return None
    free, total = torch.cuda.mem_get_info()
    name = torch.cuda.get_device_properties(torch.cuda.current_device()).name
    return LiveGpu(name, total, free, torch.cuda.memory_allocated(), torch.cuda.memory_reserved())


def _libraries() -> Mapping[str, str]:
    """Return the versions of the libraries that the session has imported."""
    names = ("torch", "transformers", "trl", "peft", "accelerate", "bitsandbytes", "lightning", "diffusers")
    found = {name: getattr(sys.modules.get(name), "__version__", None) for name in names}
    return {name: version.partition("+")[0] for name, version in found.items() if isinstance(version, str)}


def _is(value: object, kind: type) -> bool:
    """Look at the type itself: an object may answer `isinstance` with code of its own."""
    return issubclass(type(value), kind)


def _kind(value: object) -> str:
    return f"{type(value).__module__}.{type(value).__qualname__}"


def _dtype(tensor: Any) -> str:
    return str(tensor.dtype).removeprefix("torch.")
