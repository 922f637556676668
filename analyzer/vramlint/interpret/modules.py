"""Modules of the user's: what they hold, by the names under which torch registers it."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from vramlint.memory.modules import Buffer, Module, Parameter

if TYPE_CHECKING:
    from collections.abc import Iterator

    from vramlint.interpret.interpreter import Interpreter
    from vramlint.interpret.values import UserClass

_MODULE_BASES = frozenset(
    {"Module", "Sequential", "ModuleList", "ModuleDict", "LightningModule", "PreTrainedModel", "Model"}
)
_WORD = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")


class UserModule(Module):
    """An object of a class of the user's that derives from `nn.Module`; `base` is the layer it derives from, if any."""

    def __init__(self, cls: UserClass) -> None:
        self.cls = cls
        self.attributes: dict[str, Any] = {}
        self.base: Module | None = None
        self.hidden: set[str] = set()
        self.label = _WORD.sub(" ", cls.name).lower()

    def children(self) -> Iterator[tuple[str, Module]]:
        """Yield direct parts with their names."""
        for name, value in self.attributes.items():
            if isinstance(value, Module):
                yield name, value

    def named_tensors(self, prefix: str = "") -> Iterator[tuple[str, Parameter | Buffer]]:
        """Yield parameters and buffers with their full names, a module's own first."""
        if self.base is not None:
            yield from self.base.named_tensors(prefix)
        yield from _tensors(self.attributes, prefix)


class Container(Module):
    """`nn.Sequential`, `nn.ModuleList`, `nn.ModuleDict`, `nn.ParameterList`: parts by name; `kind` says which."""

    def __init__(self, kind: str, parts: dict[str, Any]) -> None:
        self.kind = kind
        self.parts = parts

    @property
    def listed(self) -> list[Any]:
        """Return the parts in order."""
        return list(self.parts.values())

    def append(self, part: Any) -> Container:
        """Add a part at the end."""
        self.parts[str(len(self.parts))] = part
        return self

    def insert(self, index: int, part: Any) -> None:
        """Add a part at a place; those behind it move on."""
        values = self.listed
        values.insert(index, part)
        self.replace(values)

    def replace(self, values: list[Any]) -> None:
        """Hold these parts instead."""
        self.parts.clear()
        self.parts.update({str(index): value for index, value in enumerate(values)})

    def children(self) -> Iterator[tuple[str, Module]]:
        """Yield the parts with their names."""
        for name, value in self.parts.items():
            if isinstance(value, Module):
                yield name, value

    def named_tensors(self, prefix: str = "") -> Iterator[tuple[str, Parameter | Buffer]]:
        """Yield parameters and buffers with their full names."""
        yield from _tensors(self.parts, prefix)


class CalledByName(Module):
    """A part of another library that takes what it is called with by names of its own."""

    def run(self, interpreter: Interpreter, args: list[Any], kwargs: dict[str, Any]) -> Any:
        """Run it on what the user's code gives it."""
        raise NotImplementedError


def _tensors(values: dict[str, Any], prefix: str) -> Iterator[tuple[str, Parameter | Buffer]]:
    for name, value in values.items():
        if isinstance(value, Parameter | Buffer):
            yield prefix + name, value
    for name, value in values.items():
        if isinstance(value, Module):
            yield from value.named_tensors(f"{prefix}{name}.")


def is_module_class(cls: UserClass) -> bool:
    """Return whether a class derives from a module of a library."""
    lasts = {name.rpartition(".")[2] for name in cls.bases}
    return bool(lasts & _MODULE_BASES) or any(
        name.startswith(("torch.nn.", "timm.", "torchvision.models", "loralib.")) for name in cls.bases
    )


def walk_modules(module: Module, prefix: str = "") -> Iterator[tuple[str, Module]]:
    """Yield a module and all below it, with their names."""
    yield prefix.removesuffix("."), module
    for name, child in module.children():
        yield from walk_modules(child, f"{prefix}{name}.")
