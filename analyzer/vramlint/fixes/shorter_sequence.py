"""Cut sequences at half their length."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from vramlint.fixes.script import Script
    from vramlint.plan.document import Plan
    from vramlint.rules.finding import Safety

NAME = "shorter-sequence"
SAFETY: Safety = "unsafe"

_LEAST = 512
"""Tokens: of shorter sequences nothing is cut."""


def title(plan: Plan) -> str:
    """Return what to do."""
    return f"Cut sequences at {(plan.sequence_length or 0) // 2:,} tokens"


def change(plan: Plan) -> Plan | None:
    """Return the plan with half the length."""
    if plan.sequence_length is None or plan.sequence_length < _LEAST or plan.sequence_length % 2:
        return None
    return plan.model_copy(update={"sequence_length": plan.sequence_length // 2})


def edit(script: Script, plan: Plan) -> None:
    """Write the number where the length is written."""
    assert plan.sequence_length is not None
    script.set_number("sequence_length", plan.sequence_length // 2)
