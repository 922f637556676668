"""Finds the output formats: every module of this package that has a `render` is one, by its file name."""

from __future__ import annotations

from importlib import import_module
from importlib.util import find_spec
from pkgutil import iter_modules
from typing import TYPE_CHECKING

import vramlint.render

if TYPE_CHECKING:
    from types import ModuleType

_HELPERS = {"catalogue", "style"}


def formats() -> tuple[str, ...]:
    """Return the names of the formats."""
    found = (module.name for module in iter_modules(vramlint.render.__path__))
    return tuple(name for name in found if name not in _HELPERS and not name.startswith("_"))


def load(name: str) -> ModuleType | None:
    """Return the format's module, or None where there is no such format; nothing else is imported."""
    if not name.isidentifier() or name in _HELPERS or find_spec(f"vramlint.render.{name}") is None:
        return None
    return import_module(f"vramlint.render.{name}")
