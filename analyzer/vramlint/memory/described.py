"""What is known of a plan's model before it is built: its config, and how many parameters it has."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from vramlint.knowledge import models
from vramlint.memory.errors import CannotEstimate
from vramlint.memory.families.base import Config
from vramlint.memory.objectives import labels_of
from vramlint.memory.vision_names import is_vision_id, vision_config

if TYPE_CHECKING:
    from collections.abc import Mapping

    from vramlint.knowledge.models.record import Component
    from vramlint.plan.document import ModelSpec, Plan

_SIZES = (
    *("hidden_size", "num_hidden_layers", "num_attention_heads", "num_key_value_heads", "head_dim"),
    *("intermediate_size", "vocab_size", "n_embd", "n_layer", "n_head", "n_inner", "n_positions"),
    *("d_model", "d_ff", "d_kv", "num_layers", "num_heads", "ffn_dim", "word_embed_proj_dim"),
    *("max_position_embeddings", "num_channels", "encoder_layers", "decoder_layers"),
)
# Far above every real model; some families list their layers one by one.
_MOST_LAYERS = 100_000

# Models with one learned place per patch, which other images need others of (or interpolated ones).
_PLACES_FOR_PATCHES = frozenset({"vit", "deit"})


@dataclass(frozen=True, slots=True)
class Described:
    """A config, and the number of parameters where somebody counted them; `is_given` where the plan holds it."""

    config: Config
    parameters: int | None = None
    is_given: bool = False


def describe(spec: ModelSpec, role: str | None = None) -> Described:
    """Return what is known of a model: the catalogue's config under its own, or only a count.

    Of a diffusion pipeline it is the part of this role, or of the class that its config names; else the denoiser.

    Raises:
        CannotEstimate: where nothing is known but a name.
    """
    if spec.builder is not None:
        return Described(Config({}))
    if spec.config is not None:
        _check_sizes(spec.config)
        named = str(spec.config.get("_class_name", "")) or None
        values = {**_catalogued(spec.id, role, named), **spec.config}
        if named is not None:
            values.setdefault("model_type", named)
        return Described(Config(values), spec.parameters, is_given=True)
    if spec.id is not None and is_vision_id(spec.id):
        return Described(vision_config(spec.id))
    if spec.id is not None:
        return _from_catalogue(spec.id, role)
    if spec.parameters is not None:
        return Described(Config({}), spec.parameters)
    raise CannotEstimate(f"nothing is known of the model {spec.class_name!r} but its name")


def _check_sizes(config: Mapping[str, object]) -> None:
    """Refuse sizes that no model can have: a person wrote this config."""
    for name in _SIZES:
        value = config.get(name)
        if isinstance(value, str | float | bool) or (isinstance(value, int) and value < 1):
            raise CannotEstimate(f"the config's {name} should be a positive integer, and is {value!r}")
        if isinstance(value, int) and "layer" in name and value > _MOST_LAYERS:
            raise CannotEstimate(
                f"the config's {name} is {value:,}; no model has over {_MOST_LAYERS:,} layers"
            )


def _catalogued(model_id: str | None, role: str | None, class_name: str | None) -> dict[str, object]:
    """Return the catalogue's config of an id whose own config only changes a part of it."""
    record = models.find(model_id) if model_id is not None else None
    if record is None:
        return {}
    if record.components:
        return _part_config(record.part(role, class_name))
    return {"model_type": record.model_type, **record.config}


def _part_config(part: Component) -> dict[str, object]:
    """Return the config of one network of a pipeline, with its class for a type."""
    return {"model_type": part.architecture, "_class_name": part.architecture, **part.config}


def _from_catalogue(model_id: str, role: str | None) -> Described:
    record = models.find(model_id)
    if record is None:
        near = " or ".join(repr(name) for name in models.nearest(model_id)[:2])
        hint = f"; did you mean {near}?" if near else ""
        raise CannotEstimate(
            f"the model {model_id!r} is not in the catalogue{hint} (`vramlint fetch {model_id}` asks the hub)"
        )
    if record.components:
        part = record.part(role)
        return Described(Config(_part_config(part)), part.parameters)
    return Described(Config({"model_type": record.model_type, **record.config}), record.parameters)


def describe_for(plan: Plan) -> Described:
    """Return what is known of a plan's model, with the plan's own labels and image size."""
    described = describe(plan.model)
    changes: dict[str, object] = {}
    labels = plan.num_labels or labels_of(plan.task)
    if labels is not None:
        changes["num_labels"] = labels
    is_by_name = plan.model.id is not None and is_vision_id(plan.model.id)
    has_places = described.config.get("model_type") in _PLACES_FOR_PATCHES
    if plan.image_size is not None and (is_by_name or has_places):
        changes["image_size"] = plan.image_size
    return replace(described, config=Config({**described.config.values, **changes}))
