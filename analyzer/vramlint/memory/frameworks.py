"""What a training framework does to memory beyond what a plan spells out."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from vramlint.knowledge.optimizer import Variant
from vramlint.memory.dtypes import FLOAT16, FLOAT32, DType, dtype_named
from vramlint.memory.errors import CannotEstimate
from vramlint.memory.objectives import OBJECTIVES, Objective
from vramlint.memory.offload import SAVE_ON_CPU, TORCHTUNE, TRL, Policy
from vramlint.memory.quantization.formats import BNB_4BIT
from vramlint.memory.quantization.layers import Product
from vramlint.memory.sharding import WHOLE, Scheme
from vramlint.plan.document import Checkpointing

if TYPE_CHECKING:
    from vramlint.knowledge.optimizer import Implementation, Optimizer
    from vramlint.memory.families.base import Logits
    from vramlint.plan.document import Lora, Plan, Quantization, Sharding

# Frameworks that train with transformers' Trainer or a subclass of it.
_TRAINERS = frozenset({"transformers", "trl", "unsloth", "axolotl", "llamafactory"})
# Frameworks whose FSDP goes through accelerate, which upcasts trained weights to fp32 when mixed
# precision is on (accelerate/accelerator.py, since 0.30.0).
_ACCELERATE = _TRAINERS | {"accelerate"}

# Frameworks that sum the gradients of all micro batches but the last whole on each GPU: accelerate's
# `accumulate` and the Trainer (no_sync), and Fabric's `no_backward_sync` in LitGPT.
_WAITING = _ACCELERATE | {"litgpt"}
# Frameworks that wrap trained and frozen weights of a layer in one flat parameter (use_orig_params, the default
# of Lightning's FSDPStrategy since torch 2.0); accelerate wraps PEFT's trained layers on their own.
_FLAT = frozenset({"litgpt", "lightning"})

# torchtune's names of the layers that adapters go on (torchtune/modules/peft/_utils.py, LORA_ATTN_MODULES).
_TORCHTUNE_MODULES = {
    "output_proj": ("o_proj",),
    "mlp": ("gate_proj", "up_proj", "down_proj"),
    "output": ("lm_head",),
}
# Frameworks that leave mixed precision to FSDP, which casts the gathered weights.
_WITHOUT_AUTOCAST = frozenset({"torchtitan", "torchtune"})

# From this major version of transformers on, the Trainer sets config.use_cache to False.
_FIRST_WITHOUT_CACHE = 5

_NEWEST = (999,)  # a version that is not said

_SPLITS_GRADIENTS, _SPLITS_WEIGHTS = 2, 3  # stages of ZeRO

_DEEPSPEED_BUCKET = 500_000_000  # reduce_bucket_size, in elements (deepspeed/runtime/zero/config.py)


@dataclass(frozen=True, slots=True)
class Behaviour:
    """How a framework runs a step.

    `keeps_loss`: a variable holds the loss, and with it the graph, into the next forward pass.
    `uses_cache`: the forward pass fills a key-value cache, as most configs ask for.
    `splits_groups`: parameters with and without weight decay form two groups.
    `caches_casts`: autocast keeps the copies of weights. `logits`: how a language model's loss takes them.
    """

    keeps_loss: bool
    uses_cache: bool
    splits_groups: bool
    caches_casts: bool
    logits: Logits


def behaviour_of(plan: Plan, model_type: str) -> Behaviour:
    """Return how the framework of a plan runs a step of a model of this type."""
    trainer = plan.framework in _TRAINERS
    return Behaviour(
        keeps_loss=not trainer,
        uses_cache=not (
            trainer and _major(plan, "transformers", _FIRST_WITHOUT_CACHE) >= _FIRST_WITHOUT_CACHE
        ),
        splits_groups=trainer,
        caches_casts=not (plan.framework == "lightning" and _drops_casts(plan)),
        logits=_logits(plan, model_type),
    )


# Models whose own loss took the logits in their own type, until they took to the common one in 4.49.
_NO_UPCAST = frozenset({"gpt2", "gpt_bigcode", "gpt_neox", "bloom", "opt", "falcon", "mpt"})


def _logits(plan: Plan, model_type: str) -> Logits:
    """Return how the loss takes the logits in the plan's version of transformers (loss/loss_utils.py, #35646).

    Up to 4.45 each model did it itself, in its forward pass.
    """
    if is_own_model(plan):
        return "own"
    version = _version(plan, "transformers")
    if version < (4, 49) and model_type in _NO_UPCAST:
        return "own-copied"
    if version < (4, 46):
        return "copied"
    return "upcast-copied" if version < (4, 49) else "upcast"


def is_own_model(plan: Plan) -> bool:
    """Return whether a model that a config describes is not transformers' own: its libraries lack transformers."""
    named = plan.libraries
    return (
        plan.framework == "torch"
        and plan.model.id is None
        and "torch" in named
        and "transformers" not in named
    )


def _major(plan: Plan, library: str, newest: int) -> int:
    version = plan.libraries.get(library, "")
    head = version.partition(".")[0]
    return int(head) if head.isdigit() else newest


def _drops_casts(plan: Plan) -> bool:
    """Return whether Lightning's autocast runs without its cache: 2.5.5 to 2.6.6 (plugins/precision/amp.py)."""
    parts = plan.libraries.get("lightning", "2.6.6").split(".")[:3]
    version = tuple(int(part) for part in parts if part.isdigit())
    return (2, 5, 5) <= version <= (2, 6, 6)


def offload_policy(plan: Plan) -> Policy | None:
    """Return which saved tensors go to host memory: by the framework's own context, else torch's save_on_cpu."""
    if not plan.activation_offload:
        return None
    if plan.framework == "torchtune":
        return TORCHTUNE
    return TRL if plan.framework in _TRAINERS else SAVE_ON_CPU


_INT8 = frozenset({"int8", "8bit"})


def quantized_product(plan: Plan, quantization: Quantization) -> Product:
    """Return how a product with a quantized weight runs in the libraries of a plan.

    4-bit weights are restored in the type they were quantized from: fp16 before bitsandbytes 0.43
    (nn/modules.py, Params4bit.cuda) and always in Fabric's plugin (precision/bitsandbytes.py).
    """
    compute = dtype_named(quantization.compute_dtype)
    kind = quantization.kind.lower()
    linear_experts = _version(plan, "transformers") < (5,)
    if kind not in BNB_4BIT:
        return Product(
            compute, keeps_input=kind in _INT8, has_linear_experts=linear_experts, casts_input=kind == "fp8"
        )
    version = _version(plan, "bitsandbytes")
    from_half = version < (0, 43) or plan.framework in {"litgpt", "lightning"}
    return Product(
        compute,
        keeps_input=version < (0, 43, 2),
        has_linear_experts=linear_experts,
        restored=FLOAT16 if from_half else None,
    )


def implied_checkpointing(plan: Plan) -> Checkpointing | None:
    """Return the checkpointing that a framework switches on unasked: LitGPT's fine-tuning under FSDP."""
    sharding = plan.sharding
    if plan.framework == "litgpt" and sharding is not None and sharding.kind.startswith("fsdp"):
        return Checkpointing()
    return None


OPERATORS = frozenset({"ops", "op"})
_EVERY = re.compile(r"(?:every-)?(\d+)")


def lora_of(plan: Plan, lora: Lora) -> Lora:
    """Return adapters with Hugging Face's names of the layers, where a framework has its own.

    A denoiser's are made in its weights' type (diffusers, `add_adapter`: peft's inject_adapter_in_model), and the
    scripts of diffusers cast them to fp32 for fp16 (`cast_training_params`).
    """
    if plan.task == "diffusion" and lora.dtype is None:
        own = "float32" if plan.mixed_precision == "fp16" else compute_dtype(plan).name
        return lora.model_copy(update={"dtype": own})
    if plan.framework != "torchtune" or not isinstance(lora.target_modules, tuple):
        return lora
    names = (inner for name in lora.target_modules for inner in _TORCHTUNE_MODULES.get(name, (name,)))
    return lora.model_copy(update={"target_modules": tuple(names)})


def every_of(checkpointing: Checkpointing | None) -> int:
    """Return N where every N-th layer is checkpointed, such as "every-2"; 1 where all are."""
    found = _EVERY.fullmatch(checkpointing.selective or "") if checkpointing else None
    return max(1, int(found[1])) if found else 1


def has_early_litgpt_norm(plan: Plan) -> bool:
    """Return whether LitGPT's RMS norm still works in the type of its input: until 24 October 2023 (#606).

    LitGPT had no releases then; torch 2.1 is what it ran on.
    """
    return _version(plan, "torch") < (2, 2)


def default_implementation(plan: Plan, optimizer: Optimizer) -> Implementation:
    """Return what an optimizer takes unasked: torch's take foreach on CUDA since 2.0 (_default_to_fused_or_foreach)."""
    if optimizer.default != "foreach":
        return optimizer.default
    return "for-loop" if _version(plan, "torch") < (2, 0) else foreach_of(plan, optimizer)


def foreach_of(plan: Plan, optimizer: Optimizer) -> Implementation:
    """Return which foreach implementation a torch has: 2.1 needs fewer copies than those before it."""
    has_older = "old foreach" in optimizer.temporaries(Variant())
    return "old foreach" if has_older and _version(plan, "torch") < (2, 1) else "foreach"


def saves_softmax_input(plan: Plan) -> bool:
    """Return whether autograd keeps the input of a softmax: until torch 1.10 (pytorch PR #65242)."""
    return _version(plan, "torch") < (1, 11)


def _version(plan: Plan, library: str) -> tuple[int, ...]:
    """Return a library's version in a plan as numbers; one that is not said is newer than any."""
    said = plan.libraries.get(library, "").split("+")[0].split(".")
    parts = [int(part) for part in said if part.isdigit()]
    if parts and any(part.startswith("dev") for part in said):
        return _before(parts)
    return tuple(parts) or _NEWEST


def _before(release: list[int]) -> tuple[int, ...]:
    """Return what a nightly counts as: 2.1.0.dev20230623 comes before 2.1 and after all of 2.0."""
    last = max((index for index, part in enumerate(release) if part), default=0)
    return (*release[:last], release[last] - 1, *_NEWEST)


def scheme_of(plan: Plan) -> Scheme:
    """Return how a plan's states are split.

    Raises:
        CannotEstimate: for layouts that are not walked.
    """
    sharding = plan.sharding
    if sharding is None or sharding.kind in {"none", "dp", "ddp"}:
        return WHOLE
    _refuse_model_parallel(sharding)
    if sharding.kind.startswith("zero"):
        return _zero(sharding, int(sharding.kind[-1]))
    return _fsdp(plan, sharding)


def _refuse_model_parallel(sharding: Sharding) -> None:
    for name in ("tensor_parallel", "pipeline_parallel", "context_parallel", "expert_parallel"):
        if getattr(sharding, name) > 1:
            raise CannotEstimate(f"{name} is not walked yet")


def _zero(sharding: Sharding, stage: int) -> Scheme:
    """DeepSpeed: half weights, and an fp32 copy of this GPU's part that the optimizer works on."""
    return Scheme(
        shards=sharding.world_size,
        splits_weights=stage == _SPLITS_WEIGHTS,
        splits_gradients=stage >= _SPLITS_GRADIENTS,
        has_master_weights=True,
        offloads_weights=sharding.offload_param is not None,
        offloads_states=sharding.offload_optimizer is not None,
        bucket=_DEEPSPEED_BUCKET,
    )


def _fsdp(plan: Plan, sharding: Sharding) -> Scheme:
    if sharding.strategy == "no-shard":
        return WHOLE
    mixed = plan.mixed_precision != "no"
    return Scheme(
        shards=sharding.world_size,
        splits_weights=True,
        splits_gradients=True,
        keeps_gathered=sharding.strategy == "shard-grad-op",
        stored=_stored(plan) if mixed else None,
        reduced=dtype_named(sharding.reduce_dtype) if sharding.reduce_dtype else None,
        waits=plan.framework in _WAITING,
        flat=sharding.kind == "fsdp" and plan.framework in _FLAT,
        holds_inputs=sharding.kind == "fsdp" and plan.lora is not None and _is_reentrant(plan),
        offloads_weights=sharding.offload_param is not None,
        offloads_states=sharding.offload_optimizer is not None or sharding.offload_param is not None,
    )


def _is_reentrant(plan: Plan) -> bool:
    return plan.gradient_checkpointing is not None and plan.gradient_checkpointing.use_reentrant


def _stored(plan: Plan) -> DType:
    if plan.framework in _ACCELERATE:
        return FLOAT32
    return dtype_named(plan.param_dtype or "float32")


def compute_dtype(plan: Plan) -> DType:
    """Return the type that weights have while they compute: half where a sharding engine casts them."""
    sharding = plan.sharding
    casts = sharding is not None and (
        sharding.kind.startswith(("zero", "fsdp")) and sharding.strategy != "no-shard"
    )
    if casts and plan.mixed_precision != "no":
        return dtype_named(plan.mixed_precision)
    return dtype_named(plan.param_dtype or "float32")


def autocast_of(plan: Plan) -> DType | None:
    """Return the autocast type; DeepSpeed's engine and FSDP's own mixed precision do without autocast."""
    deepspeed = plan.sharding is not None and plan.sharding.kind.startswith("zero")
    casts_weights = deepspeed or plan.framework in _WITHOUT_AUTOCAST
    return None if plan.mixed_precision == "no" or casts_weights else dtype_named(plan.mixed_precision)


# TRL's selective_log_softmax makes no whole log-softmax of fp32 logits; before, losses had one, as a cross-entropy has.
_SELECTIVE_SINCE = (0, 15)


def objective_of(plan: Plan) -> Objective | None:
    """Return the loss of a preference or reinforcement-learning trainer that is built on TRL's."""
    by_trl = plan.framework in _TRAINERS and _version(plan, "trl") >= _SELECTIVE_SINCE
    return OBJECTIVES.get(plan.task or "") if by_trl else None


def kept_tokens(plan: Plan) -> int | None:
    """Return of how many tokens logits are made, where only those of the completions are wanted."""
    objective = OBJECTIVES.get(plan.task or "")
    if objective is None or not objective.keeps or plan.generation is None:
        return None
    return plan.generation.new_tokens + 1  # the last token's logits are made, and left out
