"""What of a plan cannot be simulated, and what runs in another way than the plan says."""

from __future__ import annotations

from importlib.util import find_spec
from typing import TYPE_CHECKING

from vramlint.simulate.errors import CannotSimulate

if TYPE_CHECKING:
    from collections.abc import Iterator

    from vramlint.plan.document import Plan

# Frameworks that train the very module that transformers, torchvision or timm build.
_FRAMEWORKS = frozenset(
    {
        "torch",
        "transformers",
        "trl",
        "accelerate",
        "lightning",
        "axolotl",
        "llamafactory",
        "torchvision",
        "timm",
    }
)
_UNSHARDED = frozenset({"none", "dp"})


def refuse(plan: Plan) -> None:
    """Raise for a plan with features that need a real GPU, several, or code that is not at hand.

    Raises:
        CannotSimulate: naming all of them.
    """
    features = list(_features(plan))
    if features:
        raise CannotSimulate(
            f"not simulated: {'; '.join(features)}; `vramlint estimate` has figures for most of it"
        )


def _features(plan: Plan) -> Iterator[str]:
    if plan.mode != "train":
        yield "inference (training steps are)"
    if plan.framework not in _FRAMEWORKS:
        yield f"models of the framework {plan.framework}"
    if plan.model.class_name is not None and plan.model.id is None and plan.model.config is None:
        yield f"the class {plan.model.class_name}, whose code would have to run"
    if plan.quantization is not None:
        yield f"weights quantized to {plan.quantization.kind}, whose kernels need a GPU"
    if plan.sharding is not None and (plan.sharding.kind not in _UNSHARDED or plan.sharding.world_size > 1):
        yield f"{plan.sharding.kind} on {plan.sharding.world_size} GPUs"
    if plan.extra_models:
        yield f"models beside the trained one ({', '.join(extra.role for extra in plan.extra_models)})"
    if plan.activation_offload or (plan.gradient_checkpointing and plan.gradient_checkpointing.offload):
        yield "activations that are offloaded"
    if plan.gradient_checkpointing is not None and plan.gradient_checkpointing.selective is not None:
        yield f"selective checkpointing ({plan.gradient_checkpointing.selective})"
    if plan.fp8 is not None:
        yield "fp8 products"


_OWN_LOSS_FOR_KERNEL = (
    "the loss {!r} is a Triton kernel: the model's own loss runs, which keeps the logits and their copies in fp32 "
    "besides"
)
_OWN_LOSS = {
    "label-smoothing": "labels are smoothed by the loop: the model's own loss runs, which keeps fewer copies of logits"
}


def fallbacks(plan: Plan) -> tuple[Plan, tuple[str, ...]]:
    """Return the plan with what needs a compiler or a package replaced, and a sentence for each difference."""
    changes: dict[str, object] = {}
    notes = []
    if plan.compile:
        changes["compile"] = False
        notes.append(
            "torch.compile needs Triton and a GPU: the model runs uncompiled, which keeps more activations"
        )
    if plan.loss != "default":
        changes["loss"] = "default"
        notes.append(_OWN_LOSS.get(plan.loss, _OWN_LOSS_FOR_KERNEL).format(plan.loss))
    if plan.attention == "flex_attention":
        changes["attention"] = "sdpa"
        notes.append(
            "flex_attention has to be compiled: SDPA runs instead, which keeps the same but for the mask"
        )
    if (plan.attention or "").startswith("flash") and find_spec("flash_attn") is None:
        changes["attention"] = "sdpa"
        notes.append(
            "flash-attn is not installed: SDPA runs instead, whose flash kernel keeps the same tensors"
        )
    return plan.model_copy(update=changes), tuple(notes)
