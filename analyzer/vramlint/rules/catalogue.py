"""Finds the rules: every module of this package that has a `NAME` is one."""

from __future__ import annotations

from functools import cache
from importlib import import_module
from pkgutil import iter_modules
from typing import TYPE_CHECKING

import vramlint.rules

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import ModuleType

    from vramlint.rules.finding import Finding
    from vramlint.rules.subject import Subject


@cache
def rules() -> dict[str, ModuleType]:
    """Return the rules by name, in the order of the alphabet."""
    modules = [
        import_module(f"vramlint.rules.{found.name}") for found in iter_modules(vramlint.rules.__path__)
    ]
    return {module.NAME: module for module in modules if hasattr(module, "NAME")}


def check(subject: Subject) -> Iterator[Finding]:
    """Yield what the rules about runs find; rules about files have no `check`."""
    for rule in rules().values():
        if hasattr(rule, "check"):
            yield from rule.check(subject)
