"""Use FlashAttention 2, which takes half precision and a package of its own."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from vramlint.fixes.script import Script
    from vramlint.plan.document import Plan
    from vramlint.rules.finding import Safety

NAME = "flash-attention"
SAFETY: Safety = "unsafe"


def title(_: Plan) -> str:
    """Return what to do."""
    return "Use FlashAttention 2 (flash-attn)"


def change(plan: Plan) -> Plan | None:
    """Return the plan with FlashAttention, where the weights or autocast are in half precision."""
    is_half = plan.param_dtype in {"bfloat16", "float16"} or plan.mixed_precision != "no"
    if plan.attention not in {"eager", "sdpa"} or not is_half:
        return None
    return plan.model_copy(update={"attention": "flash_attention_2"})


def edit(script: Script, _: Plan) -> None:
    """Name it where the model is loaded."""
    script.set_argument(script.model(), "attn_implementation", '"flash_attention_2"')
