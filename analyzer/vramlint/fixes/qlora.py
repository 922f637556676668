"""Keep the weights in 4 bits and train adapters of low rank, with bitsandbytes and PEFT."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vramlint.fixes import lora
from vramlint.fixes.script import CannotEdit
from vramlint.plan.document import Checkpointing, Quantization

if TYPE_CHECKING:
    from vramlint.fixes.script import Script
    from vramlint.plan.document import Plan
    from vramlint.rules.finding import Safety

NAME = "qlora"
SAFETY: Safety = "unsafe"


def title(_: Plan) -> str:
    """Return what to do."""
    return f"Train with QLoRA: 4-bit weights, adapters of rank {lora.RANK}"


def change(plan: Plan) -> Plan | None:
    """Return the plan with 4-bit weights, adapters, and the checkpointing that PEFT switches on with them."""
    if plan.quantization is not None or (plan.sharding is not None and plan.sharding.kind != "ddp"):
        return None
    adapted = lora.change(plan)
    if adapted is None:
        return None
    stored = Quantization(kind="nf4", compute_dtype="bfloat16", prepared_for_kbit=True)
    recomputed = plan.gradient_checkpointing or Checkpointing(use_reentrant=True)
    return adapted.model_copy(update={"quantization": stored, "gradient_checkpointing": recomputed})


def edit(script: Script, plan: Plan) -> None:
    """Load the model in 4 bits, prepare it, and wrap it."""
    call = script.model()
    if any(one.statement == call.statement for name in ("to", "cuda") for one in script.calls(name)):
        raise CannotEdit("weights in 4 bits cannot be moved, and the statement moves them")
    config = script.imported("transformers", "BitsAndBytesConfig")
    torch, prepare = script.imported("torch"), script.imported("peft", "prepare_model_for_kbit_training")
    stored = (
        f'{config}(load_in_4bit=True, bnb_4bit_quant_type="nf4", bnb_4bit_compute_dtype={torch}.bfloat16)'
    )
    script.set_argument(call, "quantization_config", stored)
    name = call.statement.target
    lora.wrap(script, plan, f"{name} = {prepare}({name})")
