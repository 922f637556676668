"""Finds the fixes: every module of this package that has a `NAME` is one."""

from __future__ import annotations

from functools import cache
from importlib import import_module
from pkgutil import iter_modules
from typing import TYPE_CHECKING, Protocol, cast

import vramlint.fixes

if TYPE_CHECKING:
    from vramlint.plan.document import Plan
    from vramlint.rules.finding import Safety


class FixModule(Protocol):
    """What a fix's file offers; `edit` is looked up where an edit is made."""

    NAME: str
    SAFETY: Safety

    def title(self, plan: Plan) -> str:
        """Return what to do, such as `Use 8-bit AdamW`."""

    def change(self, plan: Plan) -> Plan | None:
        """Return the plan after it; None where it makes no sense."""


@cache
def fixes() -> dict[str, FixModule]:
    """Return the fixes by name, in the order of the alphabet."""
    modules = [import_module(f"vramlint.fixes.{one.name}") for one in iter_modules(vramlint.fixes.__path__)]
    return {module.NAME: cast("FixModule", module) for module in modules if hasattr(module, "NAME")}
