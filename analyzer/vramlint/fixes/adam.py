"""Optimizers of the Adam kind, as a trainer's string and as a class: what several fixes replace."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from vramlint.knowledge.optimizers import hf_names
from vramlint.plan.document import OptimizerSpec

if TYPE_CHECKING:
    from vramlint.fixes.script import Script
    from vramlint.plan.document import Plan

_PLAIN = frozenset({
    "adamw_torch", "adamw_torch_fused", "adamw_hf", "adamw_apex_fused", "torch.optim.AdamW", "torch.optim.Adam",
    "torch.optim.adamw.AdamW", "torch.optim.adam.Adam", "transformers.AdamW", "transformers.optimization.AdamW",
})  # fmt: skip
_SHARDED = frozenset({"zero1", "zero2", "zero3", "fsdp", "fsdp2"})
TORCH_ONLY = ("fused", "foreach", "capturable", "maximize", "differentiable")
"""Arguments that other libraries' optimizers do not take."""


def is_plain(plan: Plan) -> bool:
    """Say whether the states are those of an Adam in full, on one GPU's own account."""
    return (
        plan.optimizer is not None
        and plan.optimizer.name in _PLAIN
        and not plan.optimizer.amsgrad
        and (plan.sharding is None or plan.sharding.kind not in _SHARDED)
    )


def is_trainers(plan: Plan) -> bool:
    """Say whether a trainer builds the optimizer from a string."""
    return plan.optimizer is not None and hf_names.find(plan.optimizer.name) is not None


class Other(NamedTuple):
    """Another optimizer: a trainer's string, or the class `name` of a module that is imported under an alias."""

    string: str
    module: str
    alias: str | None
    name: str


def replaced(plan: Plan, other: Other) -> Plan | None:
    """Return the plan with another optimizer; None where it has no plain Adam."""
    if not is_plain(plan):
        return None
    name = other.string if is_trainers(plan) else f"{other.module}.{other.name}"
    return plan.model_copy(update={"optimizer": OptimizerSpec(name=name)})


def write(script: Script, plan: Plan, other: Other) -> None:
    """Write another optimizer where the optimizer is made."""
    if is_trainers(plan):
        script.set_argument(script.arguments(), "optim", f'"{other.string}"')
        return
    local = script.imported(other.module, alias=other.alias)
    script.rename_call(script.call_of("optimizer"), f"{local}.{other.name}", TORCH_ONLY)
