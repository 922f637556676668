"""Walks one plan: builds its model, puts it on a tape, and runs training or generation."""

from __future__ import annotations

from dataclasses import dataclass, field
from math import prod
from typing import TYPE_CHECKING

from vramlint.knowledge.optimizer import Variant
from vramlint.knowledge.optimizers import hf_names
from vramlint.memory.arena import Arena, Key
from vramlint.memory.assemble import assemble, assemble_extra
from vramlint.memory.compiled import NOTE as COMPILED
from vramlint.memory.compiled import fuse
from vramlint.memory.described import describe_for
from vramlint.memory.dtypes import dtype_named
from vramlint.memory.errors import CannotEstimate
from vramlint.memory.families import sentence
from vramlint.memory.families.base import InputSpec, Model, Regime, Sizes
from vramlint.memory.families.heads import SMOOTHED
from vramlint.memory.frameworks import (
    Behaviour,
    autocast_of,
    behaviour_of,
    compute_dtype,
    default_implementation,
    foreach_of,
    kept_tokens,
    objective_of,
    offload_policy,
    saves_softmax_input,
    scheme_of,
)
from vramlint.memory.inference import Decoding, generate
from vramlint.memory.objectives import asks_after, rows_of
from vramlint.memory.offload import Offload
from vramlint.memory.own_optimizer import optimizer_of
from vramlint.memory.projected import projected_by
from vramlint.memory.sharding import WHOLE, Scheme, ShardedModel
from vramlint.memory.smoothing import InLoop, InTrainer
from vramlint.memory.states import OptimizerStep
from vramlint.memory.step import Companion, Training, place, train
from vramlint.memory.tape import Storage, Tape
from vramlint.memory.unwalked import rolls_out
from vramlint.plan.document import Generation, OptimizerSpec, Plan

if TYPE_CHECKING:
    from collections.abc import Mapping

    from vramlint.knowledge.optimizer import Implementation, Optimizer
    from vramlint.memory.ledger import Phase
    from vramlint.memory.operators.attention import Kernel
    from vramlint.memory.runtime import Runtime


# Companions that answer each batch before the trained model, and those that first encode it for a denoiser.
_RUNNING = frozenset({"reference"})
_ENCODING = ("vae", "text_encoder")
_GPUS = frozenset({"cuda", "cuda:0", "0"})


@dataclass(frozen=True, slots=True)
class Walked:
    """What a walk leaves: the arena that saw everything, the model, what was taken for granted, and doubts.

    `spared` are the bytes that compiling takes from the peak of a phase.
    """

    arena: Arena
    model: Model
    assumptions: tuple[str, ...]
    doubts: frozenset[str]
    spared: Mapping[Phase, int] = field(default_factory=dict)


def walk(plan: Plan, runtime: Runtime, kernel: Kernel | None = None) -> Walked:
    """Walk a complete plan; `kernel` overrules the choice of CUDA's SDPA.

    Raises:
        CannotEstimate: for a model or setting that cannot be walked.
    """
    tape = Tape(has_cuda_kernels=runtime.is_cuda, softmax_saves_input=saves_softmax_input(plan))
    model = assemble(plan)
    workspace = _workspace(tape, runtime)
    if plan.mode == "inference":
        place(tape, model)
        companions = _companions(tape, plan)
        generate(tape, _decoding(plan, model))
        del companions
    else:
        _train(tape, plan, model, kernel)
    del workspace
    tape.arena.leave()
    spared = fuse(tape.arena) if plan.compile and plan.mode == "train" else {}
    return Walked(tape.arena, model, tuple(_assumptions(plan)), frozenset(tape.doubts), spared)


def _workspace(tape: Tape, runtime: Runtime) -> list[Storage]:
    if not runtime.workspace:
        return []
    return [Storage(tape, Key("cuBLAS", "workspace", (runtime.workspace,), 8))]


def _train(tape: Tape, plan: Plan, model: Model, kernel: Kernel | None) -> None:
    if not any(parameter.trainable for parameter in model.parameters()):
        raise CannotEstimate(_nothing_trained(plan))
    scheme, behaviour = scheme_of(plan), behaviour_of(plan, str(describe_for(plan).config.get("model_type")))
    sharded = None
    if scheme is WHOLE:
        place(tape, model)
    else:
        sharded = ShardedModel(tape, model, scheme)
    tape.autocast_cache = behaviour.caches_casts
    policy = offload_policy(plan)
    tape.offload = Offload(policy) if policy is not None else None
    companions = _staying(tape, plan)
    buckets = [*_gradient_buckets(tape, plan, model), *_offload_buffers(tape, plan)]
    optimizer = _optimizer_step(plan, model, scheme, behaviour)
    sizes = _sizes(plan)
    train(
        tape,
        Training(
            model=model,
            inputs=_with_companions(model.inputs(sizes), companions, sizes),
            regime=Regime(
                attention=plan.attention or "sdpa",
                padding_mask=plan.loop.padding_mask,
                use_cache=behaviour.uses_cache or (plan.lora is not None and plan.lora.kind == "prefix"),
                loss=plan.loss,
                logits=behaviour.logits,
                kernel=kernel,
                objective=objective_of(plan),
                kept=kept_tokens(plan),
            ),
            autocast=autocast_of(plan),
            accumulation=plan.gradient_accumulation_steps,
            loop=plan.loop,
            optimizer=optimizer,
            companions=companions,
            keeps_loss=behaviour.keeps_loss,
            sharded=sharded,
            rollout=_decoding(plan, model) if rolls_out(plan) else None,
            smoothing=_smoothing(plan, behaviour),
        ),
    )
    del buckets


def _smoothing(plan: Plan, behaviour: Behaviour) -> InLoop | InTrainer | None:
    if plan.loss != SMOOTHED:
        return None
    task = plan.task or "causal-lm"
    if behaviour.keeps_loss:
        return InLoop(task, behaviour.logits)
    return InTrainer(task, mixed=autocast_of(plan) is not None)


def _nothing_trained(plan: Plan) -> str:
    if plan.quantization is not None and plan.lora is None:
        return "quantized weights are not trained, and there are no adapters; give them with --set lora.r=16"
    if not plan.frozen:
        return "the model that was read has no parameter that trains; name what is trained with --set model=…"
    return f"no parameter is trained: all match {' or '.join(map(repr, plan.frozen))}"


def _sizes(plan: Plan) -> Sizes:
    assert plan.micro_batch_size is not None, "a plan is completed before it is walked"
    side = plan.image_size or 224
    return Sizes(
        rows=plan.micro_batch_size * rows_of(plan.task),
        length=plan.sequence_length or 1,
        target_length=plan.target_length,
        image=(side, side) if isinstance(side, int) else side,
        dtype=compute_dtype(plan),
        encoded=autocast_of(plan),
    )


def _decoding(plan: Plan, model: Model) -> Decoding:
    """Return what a plan generates; without `generation`, its batch and length go through once."""
    generation = plan.generation or Generation(
        prompt_length=plan.sequence_length or 1, new_tokens=1, batch=plan.micro_batch_size or 1
    )
    prompt = Sizes(generation.batch, generation.prompt_length, dtype=compute_dtype(plan))
    return Decoding(model, prompt, generation.new_tokens, plan.attention or "sdpa", autocast_of(plan))


def _implementation(plan: Plan, spec: OptimizerSpec, optimizer: Optimizer) -> Implementation:
    if spec.fused:
        return "fused"
    if spec.foreach is None:
        return default_implementation(plan, optimizer)
    return foreach_of(plan, optimizer) if spec.foreach else "for-loop"


def _optimizer_step(plan: Plan, model: Model, scheme: Scheme, behaviour: Behaviour) -> OptimizerStep | None:
    spec = plan.optimizer
    if spec is None:
        return None
    optimizer = optimizer_of(spec)
    implementation = _implementation(plan, spec, optimizer)
    named = hf_names.find(spec.name)
    rank = spec.rank or (named.variant.rank if named is not None else None)
    variant = Variant(
        momentum=spec.momentum,
        nesterov=spec.nesterov,
        centered=spec.centered,
        amsgrad=spec.amsgrad,
        weight_decay=spec.weight_decay,
        rank=rank,
        fused=implementation == "fused",
        embeddings_in_32_bit=behaviour.splits_groups,
    )
    if named is not None and named.variant.optim_bits is not None:
        variant = named.variant
    in_backward = spec.in_backward or not optimizer.keeps_gradients
    return OptimizerStep(
        optimizer,
        variant,
        implementation,
        scheme,
        behaviour.splits_groups,
        in_backward=in_backward,
        projected=projected_by(model, spec.target_modules) if rank else frozenset(),
    )


def _staying(tape: Tape, plan: Plan) -> tuple[Companion, ...]:
    """Place all companions, and return those that are not freed before the first step."""
    everyone = _companions(tape, plan)
    on_gpu = [extra for extra in plan.extra_models if extra.device in _GPUS]
    return tuple(one for one, extra in zip(everyone, on_gpu, strict=True) if not extra.freed)


def _companions(tape: Tape, plan: Plan) -> tuple[Companion, ...]:
    companions = []
    for extra in plan.extra_models:
        if extra.device not in _GPUS:
            continue
        encodes = extra.role.startswith(_ENCODING)
        dtype = (encodes and autocast_of(plan)) or compute_dtype(plan)
        if extra.param_dtype:
            dtype = dtype_named(extra.param_dtype)
        model = assemble_extra(extra.model or plan.model, extra.role, plan.task or "causal-lm", dtype)
        place(tape, model, kind="extra weight")
        runs = encodes or extra.role in _RUNNING
        autocast = autocast_of(plan) if extra.role in _RUNNING else None
        after = not encodes and asks_after(plan.task)
        companions.append(Companion(model, runs=runs, after=after, autocast=autocast))
    return tuple(companions)


def _with_companions(
    specs: tuple[InputSpec, ...], companions: tuple[Companion, ...], sizes: Sizes
) -> tuple[InputSpec, ...]:
    """Return the model's inputs, and what only the companions read of a batch."""
    found, names = list(specs), {name for spec in specs for name in spec.names}
    for companion in companions:
        for spec in companion.model.inputs(sizes) if companion.runs else ():
            if not names & set(spec.names):
                found.append(spec)
                names |= set(spec.names)
    return tuple(found)


def _gradient_buckets(tape: Tape, plan: Plan, model: Model) -> list[Storage]:
    """Return DDP's flat gradient buckets: a second copy of all gradients (gradient_as_bucket_view=False)."""
    if plan.sharding is None or plan.sharding.kind != "ddp":
        return []
    return [
        Storage(tape, Key("DDP", "gradient bucket", parameter.shape, parameter.dtype.bits), parameter.copies)
        for parameter in model.parameters()
        if parameter.trainable
    ]


# unsloth_zoo/gradient_checkpointing.py: inputs of fewer elements stay where they are
_LEAST_OFFLOADED = 1 << 20


def _offload_buffers(tape: Tape, plan: Plan) -> list[Storage]:
    """Return Unsloth's two buffers for layers' inputs that come back from host memory; they are never freed."""
    checkpointing = plan.gradient_checkpointing
    if plan.framework != "unsloth" or checkpointing is None or not checkpointing.offload:
        return []
    width = describe_for(plan).config.get("hidden_size")
    shape = (plan.micro_batch_size or 1, plan.sequence_length or 1, width or 0)
    if prod(shape) <= _LEAST_OFFLOADED:
        return []
    return [Storage(tape, Key("checkpoints", "offload buffer", shape, 16)) for _ in range(2)]


def _assumptions(plan: Plan) -> list[str]:
    notes = []
    if plan.compile:
        notes.append(COMPILED)
    if plan.task == sentence.TASK:
        notes.append(sentence.NOTE)
    if plan.task is not None and rows_of(plan.task) > 1:
        notes.append("chosen and rejected answers go through the model as one batch of twice the size")
    if plan.loss.startswith("chunked"):
        notes.append("the chunked loss is taken to work on 1,024 rows at a time")
    if plan.sharding is not None and plan.sharding.kind == "dp":
        notes.append("DataParallel gathers outputs on the first GPU, which is not counted")
    return notes
