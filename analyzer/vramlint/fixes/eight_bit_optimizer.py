"""Keep the optimizer's states in 8 bits, with bitsandbytes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vramlint.fixes import adam

if TYPE_CHECKING:
    from vramlint.fixes.script import Script
    from vramlint.plan.document import Plan
    from vramlint.rules.finding import Safety

NAME = "eight-bit-optimizer"
SAFETY: Safety = "unsafe"

_OTHER = adam.Other("adamw_bnb_8bit", "bitsandbytes", "bnb", "optim.AdamW8bit")


def title(_: Plan) -> str:
    """Return what to do."""
    return "Use 8-bit AdamW (bitsandbytes)"


def change(plan: Plan) -> Plan | None:
    """Return the plan with the 8-bit optimizer."""
    return adam.replaced(plan, _OTHER)


def edit(script: Script, plan: Plan) -> None:
    """Name it where the optimizer is made."""
    adam.write(script, plan, _OTHER)
