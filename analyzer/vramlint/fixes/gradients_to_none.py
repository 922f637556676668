"""Free the gradients between steps instead of filling them with zeros."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from vramlint.fixes.script import Script
    from vramlint.plan.document import Plan
    from vramlint.rules.finding import Safety

NAME = "gradients-to-none"
SAFETY: Safety = "safe"


def title(_: Plan) -> str:
    """Return what to do."""
    return "Set gradients to None instead of zero"


def change(plan: Plan) -> Plan | None:
    """Return the plan whose loop frees the gradients."""
    if plan.loop.set_to_none:
        return None
    return plan.model_copy(update={"loop": plan.loop.model_copy(update={"set_to_none": True})})


def edit(script: Script, _: Plan) -> None:
    """Leave the argument to its default, wherever gradients are zeroed."""
    for call in script.calls("zero_grad"):
        script.remove_argument(call, "set_to_none")
