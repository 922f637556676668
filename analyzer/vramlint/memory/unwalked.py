"""What a plan may say and the engine does not walk: refused where the figure would be another run's, else noted."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vramlint.knowledge.optimizers import UnknownOptimizer
from vramlint.memory.errors import CannotEstimate
from vramlint.memory.own_optimizer import optimizer_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from vramlint.plan.document import Generation, Lora, OptimizerSpec, Plan, Sharding

_MODEL_PARALLEL = ("tensor_parallel", "pipeline_parallel", "context_parallel", "expert_parallel")
_KNOWN_FRAMEWORKS = frozenset(
    {
        *("torch", "transformers", "trl", "accelerate", "lightning", "deepspeed", "unsloth", "axolotl"),
        *("llamafactory", "litgpt", "torchtune", "torchtitan", "megatron", "diffusers", "timm", "fabric"),
        *("sentence_transformers", "torchvision", "peft", "fsdp"),
    }
)
# An NVLink domain has eight GPUs in most machines; hybrid sharding splits inside one.
_GPUS_OF_A_NODE = 8
_SAMPLED = frozenset({"grpo", "rloo"})


def refuse_unwalked(plan: Plan) -> None:
    """Check that no setting would be passed over in silence.

    Raises:
        CannotEstimate: for a setting that changes the memory and is not walked.
    """
    for reason in _reasons(plan):
        raise CannotEstimate(reason)


def _reasons(plan: Plan) -> Iterator[str]:
    if plan.framework == "megatron" and plan.mixed_precision != "no":
        yield "Megatron-LM's optimizer keeps float32 weights and gradients in buffers of its own, not walked yet"
    if plan.mode == "train" and plan.optimizer is not None and _steps_in_backward(plan.optimizer):
        yield from _refused_in_backward(plan)
    if plan.lora is not None:
        yield from _refused_adapters(plan.lora, plan)
    if plan.mode == "inference" and plan.generation is not None and plan.generation.engine == "vllm":
        yield "vLLM takes the share of the GPU that gpu_memory_utilization gives it, whatever the model"
    if plan.sharding is not None:
        yield from _refused_shardings(plan, plan.sharding)


def _refused_adapters(lora: Lora, plan: Plan) -> Iterator[str]:
    if lora.kind == "prefix" and plan.gradient_checkpointing is not None:
        yield "PEFT refuses prefix tuning beside gradient checkpointing, which drops the cache it lives in"
    if lora.kind == "prefix" and plan.task not in {"causal-lm", "sequence-classification"}:
        yield f"prefix tuning is walked for decoders, not for the task {plan.task!r}"


def _refused_in_backward(plan: Plan) -> Iterator[str]:
    if plan.sharding is not None and plan.sharding.kind.startswith("zero"):
        yield "DeepSpeed's ZeRO steps after backward; an optimizer that steps inside of it is not walked there"


def _steps_in_backward(optimizer: OptimizerSpec) -> bool:
    try:
        return optimizer.in_backward or not optimizer_of(optimizer).keeps_gradients
    except UnknownOptimizer:
        return False


def _refused_shardings(plan: Plan, sharding: Sharding) -> Iterator[str]:
    for name in _MODEL_PARALLEL:
        if getattr(sharding, name) > 1:
            yield f"{name} is not walked yet"
    if plan.mode == "inference" and sharding.kind.startswith(("zero", "fsdp")):
        yield "inference with sharded weights is not walked yet"
    if sharding.strategy == "hybrid" and sharding.world_size > _GPUS_OF_A_NODE:
        yield (
            "hybrid sharding over several machines is not walked yet; "
            "give the GPUs of one machine as world_size, and full-shard"
        )
    offloads = sharding.offload_optimizer or sharding.offload_param
    if offloads and not sharding.kind.startswith(("zero", "fsdp")):
        yield f"offloading needs ZeRO or FSDP, and the sharding is {sharding.kind!r}"


def rolls_out(plan: Plan) -> bool:
    """Return whether completions are sampled on this GPU by the trained model itself, from its whole weights."""
    sampled = plan.mode == "train" and plan.generation is not None and plan.task in _SAMPLED
    whole = plan.sharding is None or not plan.sharding.kind.startswith(("zero", "fsdp"))
    return sampled and whole and plan.generation is not None and plan.generation.engine == "transformers"


def _not_sampled(generation: Generation) -> str:
    if generation.engine == "vllm":
        share = f"{100 * generation.gpu_memory_utilization:g} %"
        return (
            f"vLLM takes up to {share} of the GPU beside this, which is not counted (gpu_memory_utilization)"
        )
    return "what is generated between the training steps is not counted"


def notes_on_unwalked(plan: Plan) -> list[str]:
    """Return what the figure leaves out."""
    notes = []
    if plan.framework not in _KNOWN_FRAMEWORKS:
        notes.append(f"the framework {plan.framework!r} is not known and taken as a plain torch loop")
    if plan.mode == "train" and plan.generation is not None and not rolls_out(plan):
        notes.append(_not_sampled(plan.generation))
    elsewhere = (extra for extra in plan.extra_models if extra.device not in {"cuda", "cuda:0", "0"})
    notes += [f"the {extra.role} model is on {extra.device} and not counted" for extra in elsewhere]
    return notes
