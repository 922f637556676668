"""Step all parameters in one kernel, which needs no temporary copies of them."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from vramlint.fixes.script import Script
    from vramlint.plan.document import Plan
    from vramlint.rules.finding import Safety

NAME = "fused-optimizer"
SAFETY: Safety = "safe"


def title(_: Plan) -> str:
    """Return what to do."""
    return "Use AdamW(fused=True), whose step needs no temporaries"


def change(plan: Plan) -> Plan | None:
    """Return the plan with the fused step."""
    spec = plan.optimizer
    if spec is None or spec.fused:
        return None
    if spec.name == "adamw_torch":
        return plan.model_copy(update={"optimizer": spec.model_copy(update={"name": "adamw_torch_fused"})})
    if not spec.name.startswith("torch.optim.Adam"):
        return None
    return plan.model_copy(update={"optimizer": spec.model_copy(update={"fused": True, "foreach": None})})


def edit(script: Script, plan: Plan) -> None:
    """Ask for it where the optimizer is made."""
    if plan.optimizer is not None and plan.optimizer.name == "adamw_torch":
        script.set_argument(script.arguments(), "optim", '"adamw_torch_fused"')
        return
    call = script.call_of("optimizer")
    script.remove_argument(call, "foreach")
    script.set_argument(call, "fused", "True")
