"""Keep models that are only asked, such as a reference, in the host's memory."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from vramlint.plan.document import Plan
    from vramlint.rules.finding import Safety

NAME = "reference-on-cpu"
SAFETY: Safety = "display"


def title(_: Plan) -> str:
    """Return what to do."""
    return "Keep the further models on the CPU"


def change(plan: Plan) -> Plan | None:
    """Return the plan without further models on the GPU."""
    on_gpu = [extra for extra in plan.extra_models if extra.device != "cpu"]
    kept = tuple(extra for extra in plan.extra_models if extra.device == "cpu")
    return plan.model_copy(update={"extra_models": kept}) if on_gpu else None
