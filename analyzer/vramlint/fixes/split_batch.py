"""Take half the micro batch and twice the accumulation steps: the same batch for each optimizer step."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from vramlint.fixes.script import Script
    from vramlint.plan.document import Plan
    from vramlint.rules.finding import Safety

NAME = "split-batch"
# Padding, and the mean over tokens, are those of each half.
SAFETY: Safety = "unsafe"


def title(plan: Plan) -> str:
    """Return what to do."""
    batch, steps = (plan.micro_batch_size or 2) // 2, 2 * plan.gradient_accumulation_steps
    return f"Split the batch: {batch} at a time, {steps} accumulation steps"


def change(plan: Plan) -> Plan | None:
    """Return the plan with half the micro batch."""
    if plan.micro_batch_size is None or plan.micro_batch_size % 2:
        return None
    steps = plan.gradient_accumulation_steps * 2
    changed = {"micro_batch_size": plan.micro_batch_size // 2, "gradient_accumulation_steps": steps}
    return plan.model_copy(update=changed)


def edit(script: Script, plan: Plan) -> None:
    """Write both numbers; a loop must already accumulate."""
    assert plan.micro_batch_size is not None
    batch, steps = plan.micro_batch_size // 2, 2 * plan.gradient_accumulation_steps
    if plan.framework == "torch":
        script.set_number("micro_batch_size", batch)
        script.set_number("gradient_accumulation_steps", steps)
        return
    call = script.arguments()
    script.set_argument(call, "per_device_train_batch_size", str(batch))
    script.set_argument(call, "gradient_accumulation_steps", str(steps))
