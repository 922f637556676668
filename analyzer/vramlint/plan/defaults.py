"""Filling in a plan: every key it leaves out gets the framework's default, with its origin."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from vramlint.facts.setting import Known, Origin
from vramlint.knowledge import models
from vramlint.knowledge.versions import newest_beside
from vramlint.plan.lengths import longest_input, usual_length
from vramlint.plan.library_defaults import LIBRARIES, library_default
from vramlint.plan.read import read_plan
from vramlint.plan.tasks import task_of

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from vramlint.knowledge.models import ModelRecord
    from vramlint.knowledge.models.record import Component
    from vramlint.plan.document import ModelSpec, Plan

_TRAINERS = {"transformers": "transformers.TrainingArguments", "trl": "trl.SFTConfig"}
_CONFIGS = {
    "dpo": "trl.DPOConfig",
    "grpo": "trl.GRPOConfig",
    "reward": "trl.RewardConfig",
    "kto": "trl.KTOConfig",
}
_VISION = ("torchvision/", "timm/")
_USUAL_IMAGE = 224
_CLIP_PROMPT, _T5_PROMPT = 77, 512  # tokens
_USUAL_LATENT_IMAGE = 512  # pixels a side
_PIPELINE = 2  # networks that make more than a single model
_PLACE = 8  # pixels a side of one place of the latents
_DENOISERS = ("unet", "transformer", "controlnet")


def complete(plan: Plan) -> tuple[Plan, Mapping[str, Known[Any]]]:
    """Return the plan with every key said, and for each key that was left out its value and origin."""
    given = plan.model_fields_set
    subject = _subject(plan)
    added: dict[str, Known[Any]] = {}
    for key, fill in _FILL.items():
        if key not in given:
            value = fill(subject)
            if value is not None:
                added[key] = value
    if "libraries" in given:
        added["libraries"] = Known(
            subject.versions,
            Origin("assumed", "versions that the plan leaves out are the newest beside its torch"),
        )
    data = plan.model_dump(mode="json", by_alias=True, exclude_unset=True)
    completed = read_plan({**data, **{key: known.value for key, known in added.items()}})
    return completed.model_copy(update={"model": plan.model}), added


@dataclass(frozen=True, slots=True)
class _Subject:
    """A plan with what is known of its model and the versions it runs with."""

    plan: Plan
    record: ModelRecord | None
    versions: Mapping[str, str]
    default: Callable[[str, str], Any]

    @property
    def arguments(self) -> str | None:
        """Return the class whose defaults count, None for a loop without a trainer."""
        if self.plan.framework == "trl" and self.plan.task in _CONFIGS:
            return _CONFIGS[self.plan.task]
        return _TRAINERS.get(self.plan.framework)

    @property
    def model(self) -> dict[str, Any]:
        """Return the model as plain data."""
        return self.plan.model.model_dump(by_alias=True, exclude_none=True)

    @property
    def config(self) -> Mapping[str, Any]:
        """Return the model's config, that of the catalogue under the plan's own fields."""
        return {**(self.record.config if self.record else {}), **(self.plan.model.config or {})}

    @property
    def parts(self) -> tuple[Component, ...]:
        """Return the networks of a diffusion pipeline."""
        return self.record.components if self.record else ()

    @property
    def reads_images(self) -> bool:
        """Return whether the model is known by a vision library's name."""
        return (self.plan.model.id or "").startswith(_VISION)


def _subject(plan: Plan) -> _Subject:
    torch = plan.libraries.get("torch")
    versions = {name: plan.libraries.get(name) or newest_beside(name, torch) for name in LIBRARIES}
    known = {name: Known(version, Origin("assumed", name)) for name, version in versions.items()}
    if _brings_its_own_model(plan):
        del versions["transformers"]
    return _Subject(plan, _record(plan.model), {**plan.libraries, **versions}, library_default(known))


def _brings_its_own_model(plan: Plan) -> bool:
    """Return whether a config describes a script's own model: its libraries are named, and transformers is not one."""
    named = plan.libraries
    only_described = plan.model.id is None and plan.model.config is not None
    return plan.framework == "torch" and only_described and "torch" in named and "transformers" not in named


def _record(model: ModelSpec) -> ModelRecord | None:
    return models.find(model.id) if model.id else None


def _assumed(value: object, why: str) -> Known[Any]:
    return Known(value, Origin("assumed", why))


def _framework(value: object, why: str) -> Known[Any]:
    return Known(value, Origin("framework-default", why))


def _field(subject: _Subject, name: str) -> Known[Any] | None:
    found = subject.default(subject.arguments, name) if subject.arguments else None
    return found if isinstance(found, Known) else None


def _task(subject: _Subject) -> Known[Any] | None:
    if subject.parts or "_class_name" in subject.config:
        return _framework("diffusion", "a network of diffusers")
    if subject.reads_images:
        return _framework("image-classification", "vision models by name are classifiers")
    found = task_of(subject.config, subject.record.architecture if subject.record else None)
    return None if found is None else Known(found, Origin("catalogue", "the model's architecture"))


def _param_dtype(subject: _Subject) -> Known[Any]:
    plan, record = subject.plan, subject.record
    if subject.parts:
        return _framework("float32", "diffusers loads in float32 unless torch_dtype says")
    if plan.model.id is None or subject.reads_images:
        return _framework("float32", "torch makes float32 parameters")
    owner = "trl.string_model" if plan.framework == "trl" else "transformers.from_pretrained"
    found = subject.default(owner, "dtype")
    loaded = found if isinstance(found, Known) else _assumed("float32", "the dtype that loading gives")
    if loaded.value not in {"auto", None}:
        return loaded
    if record is None or record.checkpoint_dtype is None:
        return _assumed("float32", f"{loaded.origin.detail}, but the checkpoint's dtype is not known")
    return Known(
        record.checkpoint_dtype, Origin("catalogue", f"{loaded.origin.detail}; the checkpoint's dtype")
    )


def _mixed_precision(subject: _Subject) -> Known[Any]:
    brain = _field(subject, "bf16")
    if brain is not None and brain.value:
        return Known("bf16", brain.origin)
    return (
        Known("no", brain.origin)
        if brain is not None
        else _framework("no", "autocast is off unless it is asked for")
    )


def _micro_batch_size(subject: _Subject) -> Known[Any]:
    return _field(subject, "per_device_train_batch_size") or _assumed(1, "no batch size is given")


def _sequence_length(subject: _Subject) -> Known[Any] | None:
    if subject.reads_images:
        return None
    if subject.parts or "_class_name" in subject.config:
        return _prompt_length(subject)
    if subject.plan.framework == "trl":
        found = _field(subject, "max_length")
        if found is not None and isinstance(found.value, int):
            return found
    longest = longest_input(subject.model)
    limit = f"the model takes up to {longest}" if longest else "the model's longest input is not known"
    return _assumed(usual_length(subject.model), f"no length is given; {limit}")


def _prompt_length(subject: _Subject) -> Known[Any]:
    if any("T5" in part.architecture for part in subject.parts):
        return _assumed(_T5_PROMPT, "no length is given; T5 takes up to 512 tokens of a prompt")
    return _framework(_CLIP_PROMPT, "CLIP's tokenizer takes 77 tokens")


def _target_length(subject: _Subject) -> Known[Any] | None:
    task = _task(subject)
    if (subject.plan.task or (task and task.value)) != "seq2seq-lm":
        return None
    length = subject.plan.sequence_length or usual_length(subject.model)
    return _assumed(length, "no target length is given; answers are taken as long as the texts")


def _image_size(subject: _Subject) -> Known[Any] | None:
    config = subject.config
    size = config.get("image_size")
    vision = config.get("vision_config")
    if size is None and isinstance(vision, dict):
        size = vision.get("image_size")
    if isinstance(size, int | list | tuple) and size:
        return Known(size, Origin("catalogue", "image_size of the model's config"))
    if subject.parts or "_class_name" in config:
        return _made_for(subject)
    if not subject.reads_images:
        return None
    known = subject.record.images[0].image_size if subject.record and subject.record.images else _USUAL_IMAGE
    return _assumed(known, "the size that the model's weights were made for")


def _made_for(subject: _Subject) -> Known[Any]:
    """Return the image size that a denoiser was made for; its latents are an eighth of it a side."""
    config = subject.config if "_class_name" in subject.config else _denoiser(subject.parts)
    places = config.get("sample_size")
    if not isinstance(places, int):
        return _assumed(_USUAL_LATENT_IMAGE, "the size that latent diffusion was first made for")
    scale = 1 if config.get("_class_name") == "UNet2DModel" else _PLACE
    return _assumed(places * scale, "the size that the model's weights were made for")


def _denoiser(parts: tuple[Component, ...]) -> Mapping[str, Any]:
    part = next((part for part in parts if part.name in _DENOISERS), parts[0])
    return {"_class_name": part.architecture, **part.config}


def _extra_models(subject: _Subject) -> Known[Any]:
    """Return what stands beside a denoiser in training: the autoencoder and the text encoders, frozen."""
    plan = subject.plan
    if plan.mode != "train" or plan.model.config is not None or len(subject.parts) < _PIPELINE:
        return _framework([], "no other model is kept")
    dtype = {"bf16": "bfloat16", "fp16": "float16"}.get(plan.mixed_precision, plan.param_dtype or "float32")
    beside = [part.name for part in subject.parts if part.name not in _DENOISERS]
    found = [
        {"role": name, "model": subject.model, "param_dtype": dtype, "device": "cuda"} for name in beside
    ]
    return Known(found, Origin("catalogue", "the frozen parts of the pipeline, in the type it computes in"))


def _optimizer(subject: _Subject) -> Known[Any]:
    if subject.plan.mode == "inference":
        return _framework(None, "inference has no optimizer")
    found = _field(subject, "optim")
    if found is not None:
        return Known({"name": found.value}, found.origin)
    return _assumed({"name": "torch.optim.AdamW"}, "no optimizer is given")


def _checkpointing(subject: _Subject) -> Known[Any]:
    found = _field(subject, "gradient_checkpointing")
    if found is None or not found.value:
        return _framework(None, "checkpointing is off unless it is switched on")
    reentrant = subject.default("transformers.gradient_checkpointing_enable", "use_reentrant")
    return Known({"use_reentrant": isinstance(reentrant, Known) and reentrant.value is True}, found.origin)


def _labels(subject: _Subject) -> Known[Any] | None:
    config = subject.config
    count = config.get("num_labels") or len(config.get("id2label") or ()) or None
    return None if count is None else Known(int(count), Origin("catalogue", "the model's config"))


def _loop(subject: _Subject) -> Known[Any]:
    fused = subject.default("torch.zero_grad", "set_to_none")
    drops = not (isinstance(fused, Known) and fused.value is False)
    zero = "before_backward" if subject.plan.framework == "lightning" else "end"
    return _framework(
        {"set_to_none": drops, "zero_grad": zero}, f"the usual loop of {subject.plan.framework}"
    )


def _libraries(subject: _Subject) -> Known[Any]:
    return _assumed(dict(subject.versions), "the newest known releases")


def _constant(value: object, why: str) -> Callable[[_Subject], Known[Any]]:
    return lambda _subject: _framework(value, why)


_FILL: dict[str, Callable[[_Subject], Known[Any] | None]] = {
    "task": _task,
    "mode": _constant("train", "a plan is a training unless it says otherwise"),
    "framework": _constant("torch", "a plain loop"),
    "param_dtype": _param_dtype,
    "mixed_precision": _mixed_precision,
    "attention": _constant("sdpa", "transformers' default since 4.36 where the model supports it"),
    "micro_batch_size": _micro_batch_size,
    "sequence_length": _sequence_length,
    "target_length": _target_length,
    "image_size": _image_size,
    "num_labels": _labels,
    "optimizer": _optimizer,
    "gradient_checkpointing": _checkpointing,
    "gradient_accumulation_steps": _constant(1, "every backward is followed by a step"),
    "loop": _loop,
    "lora": _constant(None, "no adapters"),
    "quantization": _constant(None, "weights are not quantized"),
    "loss": _constant("default", "the model's own loss"),
    "compile": _constant(False, "the model is not compiled"),  # noqa: FBT003  the setting's own value
    "activation_offload": _constant(False, "activations stay on the GPU"),  # noqa: FBT003  the setting's own value
    "frozen": _constant([], "every parameter is trained"),
    "sharding": _constant(None, "one GPU"),
    "extra_models": _extra_models,
    "libraries": _libraries,
}
