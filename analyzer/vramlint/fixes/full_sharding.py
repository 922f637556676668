"""Shard weights, gradients and states over the GPUs that the run already has."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from vramlint.plan.document import Plan
    from vramlint.rules.finding import Safety

NAME = "full-sharding"
SAFETY: Safety = "display"

_PARTLY = frozenset({"dp", "ddp", "zero1", "zero2"})


def title(plan: Plan) -> str:
    """Return what to do."""
    size = plan.sharding.world_size if plan.sharding is not None else 1
    return f"Shard everything over the {size} GPUs (FSDP or ZeRO-3)"


def change(plan: Plan) -> Plan | None:
    """Return the plan of several GPUs with everything sharded."""
    sharding = plan.sharding
    if sharding is None or sharding.world_size == 1 or sharding.kind not in _PARTLY:
        return None
    return plan.model_copy(update={"sharding": sharding.model_copy(update={"kind": "zero3"})})
