"""Ways to need less memory: each is a changed plan, and what it saves is what the engine says."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from vramlint.plan.document import Checkpointing, Lora, OptimizerSpec, Plan
from vramlint.rules.finding import Fix

if TYPE_CHECKING:
    from collections.abc import Callable

    from vramlint.memory.engine import Sketch
    from vramlint.memory.estimate import Estimate
    from vramlint.rules.subject import Subject

_WORTH_SAYING = 0.02
"""The least part of the peak that a change must save to be offered."""


@dataclass(frozen=True, slots=True)
class Change:
    """One thing to do; `apply` returns the changed plan, or None where it makes no sense."""

    title: str
    apply: Callable[[Plan], Plan | None]


@dataclass(frozen=True, slots=True)
class WhatIf:
    """A change, and the figures of the plan after it."""

    title: str
    after: Sketch


def offers(subject: Subject, changes: tuple[Change, ...], most: int = 4) -> tuple[Fix, ...]:
    """Return the changes that help this run as advice, what saves most first."""
    if subject.estimate is None or not subject.plans:
        return ()
    before = subject.estimate.allocated.expected
    tried = [what_if(subject, change) for change in changes]
    helpful = [
        what for what in tried if what is not None and before - what.after.peak >= _WORTH_SAYING * before
    ]
    best = sorted(helpful, key=lambda what: what.after.peak)[:most]
    return tuple(_advice(subject, what, before - what.after.peak) for what in best)


def _advice(subject: Subject, what: WhatIf, saving: int) -> Fix:
    enough = _is_enough(subject, what)
    return Fix(what.title + (", then it fits" if enough else ""), saving, "display")


def _is_enough(subject: Subject, what: WhatIf) -> bool:
    if subject.gpu is None:
        return False
    room = subject.gpu.bytes - subject.reserve
    return what.after.peak <= room and what.after.device.high <= room


def what_if(subject: Subject, change: Change) -> WhatIf | None:
    """Return what the engine says of the likeliest plan after a change; None where there is no answer."""
    from vramlint.memory.engine import CannotEstimate, sketch  # noqa: PLC0415  only runs that do not fit ask

    changed = change.apply(subject.plans[0])
    if changed is None or changed == subject.plans[0]:
        return None
    try:
        return WhatIf(change.title, sketch(changed, subject.gpu))
    except CannotEstimate:
        return None


def estimate_of(plan: Plan, subject: Subject) -> Estimate | None:
    """Return the engine's estimate of another plan on the subject's GPU; None where it cannot say."""
    from vramlint.memory.engine import CannotEstimate, estimate  # noqa: PLC0415  only runs that do not fit ask

    try:
        return estimate(plan, subject.gpu)
    except CannotEstimate:
        return None


def _with_optimizer(name: str) -> Callable[[Plan], Plan | None]:
    def apply(plan: Plan) -> Plan | None:
        if plan.optimizer is None or "adam" not in plan.optimizer.name.lower():
            return None
        return plan.model_copy(update={"optimizer": OptimizerSpec(name=name)})

    return apply


def _fused(plan: Plan) -> Plan | None:
    if (
        plan.optimizer is None
        or plan.optimizer.fused
        or not plan.optimizer.name.startswith("torch.optim.Adam")
    ):
        return None
    fused = plan.optimizer.model_copy(update={"fused": True, "foreach": False})
    return plan.model_copy(update={"optimizer": fused})


def _checkpointing(plan: Plan) -> Plan | None:
    if plan.gradient_checkpointing is not None:
        return None
    return plan.model_copy(update={"gradient_checkpointing": Checkpointing()})


def _half_the_batch(plan: Plan) -> Plan | None:
    if plan.micro_batch_size is None or plan.micro_batch_size < 2:  # noqa: PLR2004  one is the least
        return None
    smaller, rest = divmod(plan.micro_batch_size, 2)
    steps = plan.gradient_accumulation_steps * 2
    changed = {"micro_batch_size": smaller, "gradient_accumulation_steps": steps}
    return None if rest else plan.model_copy(update=changed)


def _half_the_weights(plan: Plan) -> Plan | None:
    if plan.param_dtype != "float32" or plan.quantization is not None:
        return None
    return plan.model_copy(update={"param_dtype": "bfloat16", "mixed_precision": "no"})


def _adapters(plan: Plan) -> Plan | None:
    if plan.lora is not None or plan.task not in {None, "causal-lm", "dpo"} or plan.frozen:
        return None
    lora = Lora(r=16, target_modules="all-linear")
    return plan.model_copy(update={"lora": lora, "extra_models": ()})


def _half_the_reference(plan: Plan) -> Plan | None:
    if all(extra.param_dtype != "float32" for extra in plan.extra_models):
        return None
    extras = tuple(extra.model_copy(update={"param_dtype": "bfloat16"}) for extra in plan.extra_models)
    return plan.model_copy(update={"extra_models": extras})


SMALLER_STATES = (
    Change("8-bit AdamW (bitsandbytes)", _with_optimizer("bitsandbytes.optim.AdamW8bit")),
    Change("Adafactor (transformers)", _with_optimizer("transformers.optimization.Adafactor")),
    Change("AdamW(fused=True): no temporaries in the step", _fused),
)

ALL = (
    *SMALLER_STATES,
    Change("gradient checkpointing", _checkpointing),
    Change("half the micro batch, twice the accumulation steps", _half_the_batch),
    Change("weights, gradients and states in bfloat16", _half_the_weights),
    Change("LoRA on all linear layers (rank 16)", _adapters),
    Change("the further models in bfloat16", _half_the_reference),
)
