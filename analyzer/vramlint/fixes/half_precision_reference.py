"""Keep models that are only asked, such as a reference, in bfloat16."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from vramlint.plan.document import ExtraModel, Plan
    from vramlint.rules.finding import Safety

NAME = "half-precision-reference"
SAFETY: Safety = "display"


def title(_: Plan) -> str:
    """Return what to do."""
    return "Load the further models in bfloat16"


def change(plan: Plan) -> Plan | None:
    """Return the plan with the further models in bfloat16; one without a dtype has that of the trained model."""
    wide = [extra for extra in plan.extra_models if _is_wide(plan, extra)]
    extras = tuple(
        extra.model_copy(update={"param_dtype": "bfloat16"}) if extra in wide else extra
        for extra in plan.extra_models
    )
    return plan.model_copy(update={"extra_models": extras}) if wide else None


def _is_wide(plan: Plan, extra: ExtraModel) -> bool:
    return extra.device == "cuda" and (extra.param_dtype or plan.param_dtype) == "float32"
