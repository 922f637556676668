"""Load the weights in bfloat16: gradients and optimizer states follow their dtype."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from vramlint.fixes.script import Script
    from vramlint.plan.document import Plan
    from vramlint.rules.finding import Safety

NAME = "half-precision-weights"
SAFETY: Safety = "unsafe"


def title(_: Plan) -> str:
    """Return what to do."""
    return "Load the weights in bfloat16"


def change(plan: Plan) -> Plan | None:
    """Return the plan with weights in bfloat16; scaled fp16 gradients do not go with them."""
    if plan.param_dtype != "float32" or plan.quantization is not None or plan.mixed_precision == "fp16":
        return None
    return plan.model_copy(update={"param_dtype": "bfloat16"})


def edit(script: Script, _: Plan) -> None:
    """Give the dtype where the model is loaded."""
    torch = script.imported("torch")
    script.set_argument(script.model(), "torch_dtype", f"{torch}.bfloat16", ("dtype",))
