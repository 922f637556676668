"""Keep two vectors for each matrix instead of two matrices, with Adafactor."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vramlint.fixes import adam

if TYPE_CHECKING:
    from vramlint.fixes.script import Script
    from vramlint.plan.document import Plan
    from vramlint.rules.finding import Safety

NAME = "adafactor"
SAFETY: Safety = "unsafe"

_MODULE = "transformers.optimization"
_DROPPED = (*adam.TORCH_ONLY, "betas", "eps", "amsgrad")


def title(_: Plan) -> str:
    """Return what to do."""
    return "Use Adafactor (transformers)"


def change(plan: Plan) -> Plan | None:
    """Return the plan with Adafactor."""
    return adam.replaced(plan, adam.Other("adafactor", _MODULE, None, "Adafactor"))


def edit(script: Script, plan: Plan) -> None:
    """Name it where the optimizer is made, with a learning rate of the script's own."""
    if adam.is_trainers(plan):
        script.set_argument(script.arguments(), "optim", '"adafactor"')
        return
    call = script.call_of("optimizer")
    name = script.imported(_MODULE, "Adafactor")
    script.set_argument(call, "scale_parameter", "False")
    script.set_argument(call, "relative_step", "False")
    script.rename_call(call, name, _DROPPED)
