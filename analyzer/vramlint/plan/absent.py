"""What a script does not say: the value that a framework takes, each with the reason."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from vramlint.facts.setting import Known, OneOf, Origin, Setting, Unknown, alternatives
from vramlint.knowledge import models
from vramlint.plan.lengths import bounds

if TYPE_CHECKING:
    from collections.abc import Mapping

    from vramlint.frontends.base import Context, Training
    from vramlint.frontends.recipe import Recipe

_SMALL_IMAGE, _USUAL_IMAGE = 32, 224  # pixels a side: those of CIFAR and of ImageNet's models
_LARGE_IMAGE = 1024  # of what segments or detects at full size
_VISION_KEYS = {"vision_config", "image_size", "patch_size"}
_TEXT_KEYS = {"vocab_size", "text_config", "decoder", "max_position_embeddings"}
_FRAMEWORKS = {"transformers", "trl"}


def fill(
    context: Context, training: Training | Recipe, said: Mapping[str, Setting[Any]]
) -> dict[str, Setting[Any]]:
    """Return every setting of a run: what was said, else the framework's value or an honest unknown."""
    found = dict(said)
    found.setdefault("model", Unknown("no model was found; name it with --set model=…"))
    found["framework"] = _plain(training.framework, "the framework that runs the loop")
    found["mode"] = _plain(training.kind, "the kind of run")
    found["param_dtype"] = _dtype(found.get("param_dtype"), found["model"])
    found.setdefault("mixed_precision", _plain("no", "no autocast is used"))
    found.setdefault("gradient_accumulation_steps", _plain(1, "every backward is followed by a step"))
    found.setdefault("gradient_checkpointing", _plain(None, "nothing switches it on"))
    found.setdefault("lora", _plain(None, "no adapters are added"))
    found.setdefault("quantization", _plain(None, "the weights are not quantized"))
    found.setdefault("attention", _attention(found["model"]))
    found.setdefault("extra_models", _plain([], "no other model is kept"))
    found.setdefault("frozen", _plain([], "no parameter is frozen"))
    found.setdefault("loss", _plain("default", "the model's own loss"))
    found.setdefault("compile", _plain(False, "the model is not compiled"))  # noqa: FBT003  the setting's own value
    found.setdefault("generation", _plain(None, "nothing is generated in training"))
    found.setdefault("optimizer", Unknown("no optimizer was found; name it with --set optimizer=…"))
    found.setdefault(
        "micro_batch_size", Unknown("no batch size was found; name it with --set micro_batch_size=…")
    )
    found["sharding"] = _sharding(context, found.get("sharding"))
    found |= _inputs(found)
    found |= _targets(found)
    found |= shorthands(found)
    found["libraries"] = Known(
        {name: known.value for name, known in context.versions.items()},
        Origin("assumed", "the versions read or assumed"),
    )
    return found


def _plain(value: object, why: str) -> Known[Any]:
    return Known(value, Origin("framework-default", why))


def _dtype(said: Setting[Any] | None, model: Setting[Any]) -> Setting[Any]:
    """Return the parameters' dtype; "auto" is that of the checkpoint in the catalogue."""
    if said is None:
        if isinstance(model, Unknown):
            return Unknown(f"the model is not known: {model.reason}", model.origin)
        return Known("float32", Origin("framework-default", "torch makes float32 parameters"))
    if isinstance(said, Known) and said.value == "auto":
        return _checkpoint_dtype(said, model)
    if isinstance(said, OneOf) and any(one.value == "auto" for one in said.alternatives):
        resolved = [
            _checkpoint_dtype(one, model) if one.value == "auto" else one for one in said.alternatives
        ]
        known = tuple(one for one in resolved if isinstance(one, Known))
        return OneOf(known, said.reason) if len(known) == len(resolved) else resolved[0]
    return said


def _checkpoint_dtype(said: Known[Any], model: Setting[Any]) -> Setting[Any]:
    names = [value["id"] for value in alternatives(model) if isinstance(value, dict) and "id" in value]
    record = models.find(names[0]) if names else None
    if record is None or record.checkpoint_dtype is None:
        which = names[0] if names else "the model"
        return Unknown(
            f"{said.origin.detail}: the checkpoint's dtype decides, and that of {which} is not known",
            said.origin,
        )
    detail = f"{said.origin.detail}: the checkpoint is stored in {record.checkpoint_dtype}"
    is_default = said.origin.kind == "framework-default"
    origin = Origin("framework-default" if is_default else "catalogue", detail, said.origin.span)
    return Known(record.checkpoint_dtype, origin)


def _attention(model: Setting[Any]) -> Setting[Any]:
    if isinstance(model, Known) and "class" in model.value:
        return _plain(None, "the model's own code decides")
    return _plain("sdpa", "transformers' default since 4.36 where the model supports it")


def _sharding(context: Context, said: Setting[Any] | None) -> Setting[Any]:
    """Return the sharding; several GPUs without a word of it are data parallel."""
    if said is not None:
        return said
    size = context.world_size
    if size is None or size.value == 1:
        return _plain(None, "one GPU")
    return Known({"kind": "ddp", "world_size": size.value}, size.origin)


def _inputs(found: Mapping[str, Setting[Any]]) -> dict[str, Setting[Any]]:
    """Return length and image size: bounded by the model where the script leaves them open."""
    pixels, tokens = found.get("image_size"), found.get("sequence_length")
    is_vision = _is_vision(found["model"]) or _sees_alone(found)
    if tokens is None and (is_vision or (pixels is not None and not _reads_text(found))):
        tokens = _plain(None, "the model reads images")
    if tokens is None:
        why = "no length was found in the script; name it with --set sequence_length=…"
        tokens = Unknown(why, Origin("assumed", "bounded by the model's longest input"))
    if isinstance(tokens, Unknown) and tokens.bounds is None:
        tokens = Unknown(tokens.reason, tokens.origin, bounds(found["model"]))
    if isinstance(pixels, Unknown) and pixels.bounds is None:
        usual = _made_for(found["model"])
        most = _LARGE_IMAGE if _is_own(found["model"]) else usual
        pixels = Unknown(pixels.reason, pixels.origin, (min(_SMALL_IMAGE, usual), usual, most))
    return {
        "sequence_length": tokens,
        "image_size": pixels if pixels is not None else _pixels(found),
    }


def _is_own(model: Setting[Any]) -> bool:
    """Return whether a class of the project is trained, or nothing is known of the model."""
    return any("id" not in value for value in alternatives(model) if isinstance(value, dict))


def _made_for(model: Setting[Any]) -> int:
    """Return the image size that a model's config names, in pixels a side."""
    for value in alternatives(model):
        record = models.find(str(value.get("id"))) if isinstance(value, dict) else None
        config = record.config if record is not None else {}
        vision = config.get("vision_config")
        for part in (config, vision if isinstance(vision, dict) else {}):
            size = part.get("image_size")
            if isinstance(size, int):
                return size
    return _USUAL_IMAGE


def _pixels(found: Mapping[str, Setting[Any]]) -> Setting[Any]:
    """Return the image size that a script does not say: from that of small images to that the model was made for."""
    model = found["model"]
    if not _is_vision(model):
        return _processed(model) if _sees(found) else _plain(None, "no image size was read")
    records = [models.find(str(value.get("id"))) for value in alternatives(model) if isinstance(value, dict)]
    sizes = [record.images[0].image_size for record in records if record is not None and record.images]
    usual = max(sizes, default=_USUAL_IMAGE)
    why = "no image size was found in the script; name it with --set image_size=…"
    made_for = Origin("assumed", f"the model was made for {usual} pixels a side")
    return Unknown(why, made_for, (min(_SMALL_IMAGE, usual), usual, usual))


def _processed(model: Setting[Any]) -> Setting[Any]:
    """Return the unknown size of what a model's processor makes of images, bounded by what its config names."""
    usual = _made_for(model)
    why = "the model's processor decides how large images are; name it with --set image_size=…"
    span = model.origin.span if isinstance(model, Known) else None
    made_for = Origin("assumed", f"the model was made for {usual} pixels a side", span)
    return Unknown(why, made_for, (usual, usual, usual))


def _sees_alone(found: Mapping[str, Setting[Any]]) -> bool:
    """Return whether a model of the hub takes images and no texts, by its task or by the catalogue."""
    task = found.get("task")
    if isinstance(task, Known):
        return task.value in {"image-classification", "object-detection", "semantic-segmentation"}
    records = [
        models.find(str(one.get("id"))) for one in alternatives(found["model"]) if isinstance(one, dict)
    ]
    configs = [record.config for record in records if record is not None]
    return bool(configs) and all(
        not _VISION_KEYS.isdisjoint(config) and _TEXT_KEYS.isdisjoint(config) for config in configs
    )


def _sees(found: Mapping[str, Setting[Any]]) -> bool:
    """Return whether a model of the hub takes images, by its task or by the config in the catalogue."""
    task = found.get("task")
    if isinstance(task, Known) and ("image" in task.value or "detection" in task.value):
        return True
    records = [
        models.find(str(one.get("id"))) for one in alternatives(found["model"]) if isinstance(one, dict)
    ]
    configs = [record.config for record in records if record is not None]
    return any(
        not _VISION_KEYS.isdisjoint(config) or "vision" in str(config.get("model_type")) for config in configs
    )


def _targets(found: Mapping[str, Setting[Any]]) -> dict[str, Setting[Any]]:
    """Return the length of an encoder-decoder's answers: as long as its texts where nobody says it."""
    task, tokens = found.get("task"), found["sequence_length"]
    is_translating = isinstance(task, Known) and task.value == "seq2seq-lm"
    if not is_translating or "target_length" in found or not isinstance(tokens, Known):
        return {}
    return {"target_length": Known(tokens.value, Origin("assumed", "answers are taken as long as the texts"))}


def _reads_text(found: Mapping[str, Setting[Any]]) -> bool:
    task = found.get("task")
    return isinstance(task, Known) and (
        "text" in task.value or ("image" not in task.value and task.value != "diffusion")
    )


def _is_vision(model: Setting[Any]) -> bool:
    names = [str(value.get("id", "")) for value in alternatives(model) if isinstance(value, dict)]
    return any(name.startswith(("torchvision/", "timm/")) for name in names)


def shorthands(found: Mapping[str, Setting[Any]]) -> dict[str, Setting[Any]]:
    """Return the settings that stand for parts of others."""
    sharding = found["sharding"]
    first = sharding.alternatives[0] if isinstance(sharding, OneOf) else sharding
    said = first.value if isinstance(first, Known) and isinstance(first.value, dict) else {}
    origin = first.origin if isinstance(first, Known) else Origin("assumed", "one GPU")
    offload = {
        key.removeprefix("offload_"): value
        for key, value in said.items()
        if key.startswith("offload_") and value
    }
    frozen = found["frozen"]
    trainable: Setting[Any] = (
        frozen if isinstance(frozen, Unknown) else _plain("all", "no parameter is frozen")
    )
    if isinstance(frozen, Known) and frozen.value:
        trainable = Known("all but those that match " + ", ".join(frozen.value), frozen.origin)
    elif isinstance(found["lora"], Known) and found["lora"].value:
        trainable = Known("adapters", found["lora"].origin)
    return {
        "trainable": trainable,
        "offload": Known(offload or None, origin),
        "world_size": _world_size(sharding),
    }


def _world_size(sharding: Setting[Any]) -> Setting[Any]:
    """Return the number of GPUs that a sharding names, every alternative of it."""

    def count(known: Known[Any]) -> Known[Any]:
        return Known((known.value or {}).get("world_size", 1), known.origin)

    if isinstance(sharding, Unknown):
        return sharding
    if isinstance(sharding, Known):
        return count(sharding)
    return OneOf(tuple(count(one) for one in sharding.alternatives), sharding.reason)
