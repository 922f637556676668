"""Train adapters of low rank instead of the weights, with PEFT."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vramlint.plan.document import Lora

if TYPE_CHECKING:
    from vramlint.fixes.script import Script
    from vramlint.plan.document import Plan
    from vramlint.rules.finding import Safety

NAME = "lora"
SAFETY: Safety = "unsafe"

RANK = 16
_TASKS = {None: "CAUSAL_LM", "causal-lm": "CAUSAL_LM", "dpo": "CAUSAL_LM"}


def title(_: Plan) -> str:
    """Return what to do."""
    return f"Train LoRA adapters on all linear layers (rank {RANK})"


def change(plan: Plan) -> Plan | None:
    """Return the plan with adapters; with them the base model is its own reference."""
    if plan.lora is not None or plan.task not in _TASKS or plan.frozen or plan.mode != "train":
        return None
    lora = Lora(r=RANK, target_modules="all-linear")
    kept = tuple(extra for extra in plan.extra_models if extra.role != "reference")
    return plan.model_copy(update={"lora": lora, "extra_models": kept})


def edit(script: Script, plan: Plan) -> None:
    """Wrap the model behind the statement that loads it."""
    wrap(script, plan)


def wrap(script: Script, plan: Plan, *before: str) -> None:
    """Add adapters behind the statement that loads the model, and other lines before that."""
    statement = script.model().statement
    name = statement.target
    config = script.imported("peft", "LoraConfig")
    wrapper = script.imported("peft", "get_peft_model")
    inputs = [f"{name}.enable_input_require_grads()"] if plan.gradient_checkpointing and not before else []
    script.insert_after(
        statement,
        *before,
        *inputs,
        f'lora_config = {config}(r={RANK}, lora_alpha={2 * RANK}, target_modules="all-linear", '
        f'task_type="{_TASKS[plan.task]}")',
        f"{name} = {wrapper}({name}, lora_config)",
    )
