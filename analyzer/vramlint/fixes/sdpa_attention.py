"""Use the attention of torch, which does not keep the scores of all pairs of tokens."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from vramlint.fixes.script import Script
    from vramlint.plan.document import Plan
    from vramlint.rules.finding import Safety

NAME = "sdpa-attention"
SAFETY: Safety = "safe"


def title(_: Plan) -> str:
    """Return what to do."""
    return "Use SDPA attention"


def change(plan: Plan) -> Plan | None:
    """Return the plan with SDPA in place of eager attention."""
    return plan.model_copy(update={"attention": "sdpa"}) if plan.attention == "eager" else None


def edit(script: Script, _: Plan) -> None:
    """Name it where the model is loaded."""
    script.set_argument(script.model(), "attn_implementation", '"sdpa"')
