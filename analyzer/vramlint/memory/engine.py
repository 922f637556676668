"""The engine: from a plan to the memory of its run."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING

from vramlint.memory.adapters.inject import UNWALKED
from vramlint.memory.caching import unused
from vramlint.memory.compiled import compiled_range, with_fused
from vramlint.memory.errors import CannotEstimate
from vramlint.memory.estimate import Estimate, PhasePeak, Range
from vramlint.memory.families.heads import LOSSES
from vramlint.memory.fp8 import NOTE as FP8_NOTE
from vramlint.memory.fp8 import fp8_range
from vramlint.memory.frameworks import OPERATORS, every_of
from vramlint.memory.own_optimizer import is_known
from vramlint.memory.positions import notes_on_length
from vramlint.memory.recurrent import KIND as RECURRENT
from vramlint.memory.recurrent import NOTE as RECURRENT_NOTE
from vramlint.memory.recurrent import recurrent_range
from vramlint.memory.remembered import remembered
from vramlint.memory.runtime import Runtime, context_of, plus, reserved_range, runtime_on
from vramlint.memory.terms import ledger_of, worst_phase
from vramlint.memory.unwalked import notes_on_unwalked, refuse_unwalked
from vramlint.memory.walk import Walked, walk
from vramlint.plan.defaults import complete
from vramlint.plan.document import Lora, OptimizerSpec, Plan

if TYPE_CHECKING:
    from collections.abc import Sequence

    from vramlint.knowledge.gpu import Gpu

__all__ = ["CannotEstimate", "Sketch", "estimate", "estimate_all", "sketch"]

# Half-width of the expected figure where every setting is known, in percent: the tensors of a step are
# exact against a fake-tensor run of torch 2.13 (benchmarks/accuracy), kernels' own scratch space is not.
_BELOW, _ABOVE = 2, 4

# An optimizer nobody knows keeps between nothing and three states, two being the usual number.
_LEAST_STAND_IN = OptimizerSpec(name="torch.optim.SGD")
_USUAL_STAND_IN = OptimizerSpec(name="torch.optim.AdamW", fused=True)
_MOST_STAND_IN = OptimizerSpec(name="torch.optim.AdamW", amsgrad=True)


@remembered
def estimate(plan: Plan, gpu: Gpu | None = None) -> Estimate:
    """Return the memory of one run.

    Raises:
        CannotEstimate: where no figure can be said.
    """
    plan = _walkable(plan)
    if plan.lora is not None and plan.lora.kind in UNWALKED:
        return _with_unwalked_adapters(plan, plan.lora, gpu)
    if plan.optimizer is not None and not is_known(plan.optimizer):
        return _with_unknown_optimizer(plan, gpu)
    return _estimate(plan, gpu)


def _with_unwalked_adapters(plan: Plan, lora: Lora, gpu: Gpu | None) -> Estimate:
    expected, low, high = (
        estimate(plan.model_copy(update={"lora": lora.model_copy(update={"kind": kind})}), gpu)
        for kind in ("lora", "ia3", "loha")
    )
    note = (
        f"adapters of kind {lora.kind!r} are not walked: expected is LoRA of the same rank on the same layers; the "
        "range runs from a vector for each layer to a whole weight that is made anew in each forward pass"
    )
    spanned = _spanning(_spanning(expected, low), high)
    return replace(spanned, assumptions=(note, *spanned.assumptions))


@dataclass(frozen=True)
class Sketch:
    """The figures of a plan without its ledger, each only when it is asked for, in bytes."""

    plan: Plan
    runtime: Runtime
    walked: Walked

    @cached_property
    def peak(self) -> int:
        """Return the expected allocated peak."""
        return _peak(self.walked)

    @cached_property
    def device(self) -> Range:
        """Return the range of device memory."""
        allocated, _ = _allocated(self.plan, self.runtime, self.walked)
        return _device(self.plan, self.runtime, _reserved(self.walked, allocated))


@remembered
def sketch(plan: Plan, gpu: Gpu | None = None) -> Sketch:
    """Walk a plan for its bare figures, in half the time of an estimate.

    Raises:
        CannotEstimate: where no figure can be said.
    """
    plan, runtime = _walkable(plan), runtime_on(gpu)
    if plan.optimizer is not None and not is_known(plan.optimizer):
        plan = plan.model_copy(update={"optimizer": _USUAL_STAND_IN})
    if plan.lora is not None and plan.lora.kind in UNWALKED:
        plan = plan.model_copy(update={"lora": plan.lora.model_copy(update={"kind": "lora"})})
    return Sketch(plan, runtime, walk(plan, runtime))


def _walkable(plan: Plan) -> Plan:
    plan, _ = complete(plan)
    _refuse_unwalked(plan)
    refuse_unwalked(plan)
    return plan


def estimate_all(plans: Sequence[Plan], gpu: Gpu | None = None) -> Estimate:
    """Return the expected plan's memory with a range that spans all alternatives; the expected plan comes first.

    Raises:
        CannotEstimate: where no figure can be said for the expected plan.
    """
    if not plans:
        raise CannotEstimate("nothing is known that could be walked")
    expected, *others = plans
    result = estimate(expected, gpu)
    for other in others:
        try:
            result = _spanning(result, estimate(other, gpu))
        except CannotEstimate as reason:
            note = f"one alternative is not in the range: {reason}"
            result = replace(result, assumptions=(*result.assumptions, note))
    return result


def _spanning(a: Estimate, b: Estimate) -> Estimate:
    return replace(
        a,
        allocated=_hull(a.allocated, b.allocated),
        reserved=_hull(a.reserved, b.reserved),
        device=_hull(a.device, b.device),
    )


def _hull(a: Range, b: Range) -> Range:
    return Range(min(a.low, b.low), a.expected, max(a.high, b.high))


def _refuse_unwalked(plan: Plan) -> None:
    if plan.loss not in LOSSES:
        raise CannotEstimate(
            f"the loss {plan.loss!r} is not walked yet; these are: {', '.join(sorted(LOSSES))}"
        )
    checkpointing = plan.gradient_checkpointing
    if any(extra.role in {"value", "critic"} for extra in plan.extra_models):
        raise CannotEstimate("the value model is trained too; its gradients and states are not walked yet")
    selective = checkpointing.selective if checkpointing is not None else None
    if selective and selective not in OPERATORS and every_of(checkpointing) == 1:
        raise CannotEstimate(f"selective checkpointing {selective!r} is not walked; ops and every-N are")


def _with_unknown_optimizer(plan: Plan, gpu: Gpu | None) -> Estimate:
    assert plan.optimizer is not None
    low, expected, high = (
        _estimate(plan.model_copy(update={"optimizer": stand_in}), gpu)
        for stand_in in (_LEAST_STAND_IN, _USUAL_STAND_IN, _MOST_STAND_IN)
    )
    note = (
        f"nobody knows the optimizer {plan.optimizer.name!r}: expected are two states in the parameters' type, "
        "the range runs from none to three"
    )
    spanned = _spanning(_spanning(expected, low), high)
    return replace(spanned, assumptions=(note, *spanned.assumptions))


def _estimate(plan: Plan, gpu: Gpu | None) -> Estimate:
    runtime = runtime_on(gpu)
    walked = walk(plan, runtime)
    phases = {name: record.peak for name, record in walked.arena.phases.items()}
    worst = worst_phase(phases)
    allocated, doubts = _allocated(plan, runtime, walked)
    reserved = _reserved(walked, allocated)
    parameters = tuple(walked.model.parameters())
    return Estimate(
        allocated=allocated,
        reserved=reserved,
        device=_device(plan, runtime, reserved),
        phase=worst,
        step=phases[worst].step,
        phases={
            name: PhasePeak(record.peak.bytes, record.end) for name, record in walked.arena.phases.items()
        },
        ledger=with_fused(ledger_of(walked.arena, worst), walked.spared.get(worst, 0)),
        timeline=tuple(walked.arena.moments),
        assumptions=(
            *walked.assumptions,
            *notes_on_unwalked(plan),
            *notes_on_length(plan, walked.model),
            *doubts,
        ),
        parameters=sum(p.numel * p.copies for p in parameters),
        trainable_parameters=sum(p.numel * p.copies for p in parameters if p.trainable),
    )


def _reserved(walked: Walked, allocated: Range) -> Range:
    return reserved_range(allocated, unused(walked.arena, _peak(walked)))


def _device(plan: Plan, runtime: Runtime, reserved: Range) -> Range:
    return plus(reserved, context_of(runtime, plan.sharding.world_size if plan.sharding else 1))


def _allocated(plan: Plan, runtime: Runtime, walked: Walked) -> tuple[Range, tuple[str, ...]]:
    """Return the range of the peak, and what it spans beside the kernels' own scratch space."""
    figures, doubts = _allocated_in_bf16(plan, runtime, walked)
    if RECURRENT in walked.doubts:
        figures, doubts = recurrent_range(figures, walked.arena), (*doubts, RECURRENT_NOTE)
    if walked.spared:
        figures = compiled_range(figures, walked.arena, max(walked.spared.values()))
    if plan.fp8 is not None:
        figures, doubts = fp8_range(figures, walked.arena, walked.model), (*doubts, FP8_NOTE)
    return figures, doubts


def _allocated_in_bf16(plan: Plan, runtime: Runtime, walked: Walked) -> tuple[Range, tuple[str, ...]]:
    peak = _peak(walked)
    exact = Range(peak * (100 - _BELOW) // 100, peak, peak * (100 + _ABOVE) // 100)
    if walked.model.approximation is not None:
        return _hull(_guessed(walked, peak), exact), (walked.model.approximation,)
    if "grouped heads" not in walked.doubts:
        return exact, ()
    fallback = _peak(walk(plan, runtime, kernel="math"))
    note = (
        "with fewer key heads than query heads and no half precision, SDPA may fall back to its math kernel, "
        "which keeps the scores: the high end counts them"
    )
    return replace(exact, high=max(exact.high, fallback * (100 + _ABOVE) // 100)), (note,)


def _guessed(walked: Walked, peak: int) -> Range:
    """Return a range for guessed activations: from none at all to twice as many."""
    phases = walked.arena.phases
    kept = min(record.end for name, record in phases.items() if name != "load")
    states = phases["optimizer_step"].peak.bytes if "optimizer_step" in phases else kept
    return Range(min(max(states, kept), peak), peak, 2 * peak - kept)


def _peak(walked: Walked) -> int:
    return max(record.peak.bytes for record in walked.arena.phases.values())
