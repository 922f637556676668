"""Fuse the output layer with the loss, so that the logits of a batch never exist at once, with Liger."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vramlint.fixes import adam

if TYPE_CHECKING:
    from vramlint.fixes.script import Script
    from vramlint.plan.document import Plan
    from vramlint.rules.finding import Safety

NAME = "liger-loss"
SAFETY: Safety = "unsafe"


def title(_: Plan) -> str:
    """Return what to do."""
    return "Use Liger kernels (liger-kernel)"


def change(plan: Plan) -> Plan | None:
    """Return the plan of a language model's trainer with the fused loss."""
    if plan.loss != "default" or plan.task not in {None, "causal-lm"} or not adam.is_trainers(plan):
        return None
    return plan.model_copy(update={"loss": "liger"})


def edit(script: Script, _: Plan) -> None:
    """Ask for it in the trainer's arguments."""
    script.set_argument(script.arguments(), "use_liger_kernel", "True", ("use_liger",))
