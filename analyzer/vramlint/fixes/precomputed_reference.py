"""Work out the reference model's answers before the training, and keep the reference out of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from vramlint.fixes.script import Script
    from vramlint.plan.document import Plan
    from vramlint.rules.finding import Safety

NAME = "precomputed-reference"
SAFETY: Safety = "safe"


def title(_: Plan) -> str:
    """Return what to do."""
    return "Precompute the reference's log-probabilities"


def change(plan: Plan) -> Plan | None:
    """Return the plan of a DPO run without its reference model."""
    kept = tuple(extra for extra in plan.extra_models if extra.role != "reference")
    if plan.task != "dpo" or len(kept) == len(plan.extra_models):
        return None
    return plan.model_copy(update={"extra_models": kept})


def edit(script: Script, _: Plan) -> None:
    """Ask for it in the trainer's arguments."""
    script.set_argument(script.arguments(), "precompute_ref_log_probs", "True")
