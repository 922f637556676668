"""The engine: from a plan to the memory of its run."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from vramlint.knowledge.gpu import Gpu
from vramlint.knowledge.optimizer import Implementation, Variant
from vramlint.knowledge.optimizers import UnknownOptimizer
from vramlint.knowledge.optimizers import find as find_optimizer
from vramlint.memory.arena import Arena, Key
from vramlint.memory.assemble import assemble, assemble_extra
from vramlint.memory.dtypes import DType, dtype_named
from vramlint.memory.errors import CannotEstimate
from vramlint.memory.estimate import Estimate, PhasePeak, Range
from vramlint.memory.families.base import Model, Regime, Sizes
from vramlint.memory.runtime import Runtime, plus, reserved_range, runtime_on
from vramlint.memory.states import OptimizerStep
from vramlint.memory.step import Companion, Training, place, train
from vramlint.memory.tape import Storage, Tape
from vramlint.memory.terms import ledger_of, worst_phase
from vramlint.plan.document import OptimizerSpec, Plan

__all__ = ["CannotEstimate", "estimate", "estimate_all"]

# Half-width of the expected figure where every setting is known, in percent: the tensors of a step are
# exact against a fake-tensor run of torch 2.13 (benchmarks/accuracy), kernels' own scratch space is not.
_BELOW, _ABOVE = 2, 4

# An optimizer nobody knows keeps between nothing and three states, two being the usual number.
_STAND_INS = ("torch.optim.SGD", "torch.optim.AdamW", "torch.optim.AdamW")


def estimate(plan: Plan, gpu: Gpu | None = None) -> Estimate:
    """Return the memory of one run.

    Raises:
        CannotEstimate: where no figure can be said.
    """
    from vramlint.plan.defaults import complete

    plan, _ = complete(plan)
    _refuse_unwalked(plan)
    if plan.optimizer is not None and not _is_known(plan.optimizer.name):
        return _with_unknown_optimizer(plan, gpu)
    return _estimate(plan, gpu)


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
    if plan.mode != "train":
        raise CannotEstimate("inference is not walked yet")
    if plan.loss != "default":
        raise CannotEstimate(f"the loss {plan.loss!r} is not walked yet")
    if plan.sharding is not None and plan.sharding.kind not in {"none", "ddp"}:
        raise CannotEstimate(f"sharding by {plan.sharding.kind} is not walked yet")
    checkpointing = plan.gradient_checkpointing
    if checkpointing is not None and (checkpointing.selective or checkpointing.offload):
        raise CannotEstimate("selective and offloaded gradient checkpointing are not walked yet")


def _is_known(name: str) -> bool:
    try:
        find_optimizer(name)
    except UnknownOptimizer:
        return False
    return True


def _with_unknown_optimizer(plan: Plan, gpu: Gpu | None) -> Estimate:
    assert plan.optimizer is not None
    low, expected, high = (
        _estimate(plan.model_copy(update={"optimizer": stand_in}), gpu)
        for stand_in in (
            OptimizerSpec(name=_STAND_INS[0]),
            OptimizerSpec(name=_STAND_INS[1], fused=True),
            OptimizerSpec(name=_STAND_INS[2], amsgrad=True),
        )
    )
    note = (
        f"nobody knows the optimizer {plan.optimizer.name!r}: expected are two states in the parameters' type, "
        "the range runs from none to three"
    )
    spanned = _spanning(_spanning(expected, low), high)
    return replace(spanned, assumptions=(note, *spanned.assumptions))


def _estimate(plan: Plan, gpu: Gpu | None) -> Estimate:
    walked = _walk(plan, runtime_on(gpu))
    phases = {name: record.peak for name, record in walked.arena.phases.items()}
    worst = worst_phase(phases)
    peak = phases[worst].bytes
    allocated = Range(peak * (100 - _BELOW) // 100, peak, peak * (100 + _ABOVE) // 100)
    reserved = reserved_range(allocated)
    parameters = tuple(walked.model.parameters())
    return Estimate(
        allocated=allocated,
        reserved=reserved,
        device=plus(reserved, runtime_on(gpu).context),
        phase=worst,
        step=phases[worst].step,
        phases={name: PhasePeak(record.peak.bytes, record.end) for name, record in walked.arena.phases.items()},
        ledger=ledger_of(walked.arena, worst),
        timeline=tuple(walked.arena.moments),
        assumptions=tuple(walked.assumptions),
        parameters=sum(p.numel * p.copies for p in parameters),
        trainable_parameters=sum(p.numel * p.copies for p in parameters if p.trainable),
    )


@dataclass(frozen=True, slots=True)
class _Walked:
    arena: Arena
    model: Model
    assumptions: list[str]


def _walk(plan: Plan, runtime: Runtime) -> _Walked:
    tape, model = Tape(), assemble(plan)
    if runtime.workspace:
        workspace = Storage(tape, Key("cuBLAS", "workspace", (runtime.workspace,), 8))
    assumptions: list[str] = []
    place(tape, model)
    companions = _companions(tape, plan)
    buckets = _gradient_buckets(tape, plan, model)
    train(tape, _training(plan, model, companions))
    walked = _Walked(tape.arena, model, assumptions + _assumptions(plan))
    del buckets, companions
    if runtime.workspace:
        del workspace
    return walked


def _training(plan: Plan, model: Model, companions: tuple[Companion, ...]) -> Training:
    return Training(
        model=model,
        inputs=model.inputs(_sizes(plan)),
        regime=Regime(attention=plan.attention or "sdpa", padding_mask=plan.loop.padding_mask),
        autocast=None if plan.mixed_precision == "no" else dtype_named(plan.mixed_precision),
        accumulation=plan.gradient_accumulation_steps,
        loop=plan.loop,
        optimizer=_optimizer_step(plan.optimizer),
        companions=companions,
    )


def _sizes(plan: Plan) -> Sizes:
    assert plan.micro_batch_size is not None
    side = plan.image_size or 224
    return Sizes(
        rows=plan.micro_batch_size * (2 if plan.task == "dpo" else 1),
        length=plan.sequence_length or 1,
        target_length=plan.target_length,
        image=(side, side) if isinstance(side, int) else side,
        dtype=_dtype(plan.param_dtype),
    )


def _optimizer_step(spec: OptimizerSpec | None) -> OptimizerStep | None:
    if spec is None:
        return None
    optimizer = find_optimizer(spec.name)
    implementation: Implementation = optimizer.default
    if spec.fused:
        implementation = "fused"
    elif spec.foreach is not None:
        implementation = "foreach" if spec.foreach else "for-loop"
    variant = Variant(
        momentum=spec.momentum,
        nesterov=spec.nesterov,
        centered=spec.centered,
        amsgrad=spec.amsgrad,
        weight_decay=spec.weight_decay,
        rank=spec.rank,
        fused=implementation == "fused",
    )
    return OptimizerStep(optimizer, variant, implementation)


def _companions(tape: Tape, plan: Plan) -> tuple[Companion, ...]:
    companions = []
    for extra in plan.extra_models:
        if extra.device != "cuda":
            continue
        dtype = _dtype(extra.param_dtype or plan.param_dtype)
        model = assemble_extra(extra.model or plan.model, plan.task or "causal-lm", dtype)
        place(tape, model, kind="extra weight")
        companions.append(Companion(model, runs=extra.role == "reference"))
    return tuple(companions)


def _dtype(name: str | None) -> DType:
    return dtype_named(name or "float32")


def _gradient_buckets(tape: Tape, plan: Plan, model: Model) -> list[Storage]:
    """Return DDP's flat gradient buckets: a second copy of all gradients (gradient_as_bucket_view=False)."""
    if plan.sharding is None or plan.sharding.kind != "ddp":
        return []
    return [
        Storage(tape, Key("DDP", "gradient bucket", parameter.shape, parameter.dtype.bits), parameter.copies)
        for parameter in model.parameters()
        if parameter.trainable
    ]


def _assumptions(plan: Plan) -> list[str]:
    notes = []
    if plan.compile:
        notes.append("torch.compile saves fewer activations (23 to 29 % less were measured); the figure is eager mode's")
    if plan.task == "dpo":
        notes.append("chosen and rejected answers go through the policy as one batch of twice the size")
    return notes
