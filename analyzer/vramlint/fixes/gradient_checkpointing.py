"""Recompute the activations of each layer in backward instead of keeping them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vramlint.plan.document import Checkpointing

if TYPE_CHECKING:
    from vramlint.fixes.script import Script
    from vramlint.plan.document import Plan
    from vramlint.rules.finding import Safety

NAME = "gradient-checkpointing"
SAFETY: Safety = "safe"


def title(_: Plan) -> str:
    """Return what to do."""
    return "Use gradient checkpointing"


def change(plan: Plan) -> Plan | None:
    """Return the plan with checkpointing of every layer."""
    if plan.gradient_checkpointing is not None or plan.mode != "train":
        return None
    return plan.model_copy(update={"gradient_checkpointing": Checkpointing()})


def edit(script: Script, plan: Plan) -> None:
    """Switch it on in the trainer's arguments, or on the model."""
    if plan.framework == "torch":
        model = script.model()
        script.insert_after(model.statement, f"{model.statement.target}.gradient_checkpointing_enable()")
    else:
        script.set_argument(script.arguments(), "gradient_checkpointing", "True")
