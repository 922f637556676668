"""A model that stands in memory beside the trained one, as the plan's `extra_models` writes it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from vramlint.facts.setting import Known, Setting, Unknown
from vramlint.frontends import diffusers_models, model_objects, transformers_models
from vramlint.frontends.trace import traced
from vramlint.knowledge import models

if TYPE_CHECKING:
    from vramlint.frontends.base import Context

_NAME_IT = "name the further models with --set extra_models=…"


def described(context: Context, setting: Setting[Any], role: str) -> dict[str, Any] | Unknown:
    """Return one further model with its role, or why it cannot be told."""
    if isinstance(setting, Unknown):
        return setting
    if isinstance(setting, Known) and isinstance(setting.value, str):
        return {"role": role, "model": {"id": setting.value}, "device": "cuda"}
    beginnings = traced(context.script, setting)
    if len(beginnings) != 1:
        return Unknown(f"the {role} model differs between branches; {_NAME_IT}")
    (one,) = beginnings
    if transformers_models.is_ours(one):
        model, dtype = transformers_models.model_and_dtype(context, one)
    elif diffusers_models.is_ours(one):
        model, dtype = diffusers_models.model_and_dtype(context, one)
    else:
        model, dtype = model_objects.described(context, one), None
    if not isinstance(model, Known):
        why = model.reason if isinstance(model, Unknown) else "it differs between branches"
        origin = model.origin if isinstance(model, Unknown) else None
        return Unknown(f"the {role} model is not known: {why}", origin)
    spec = {"role": role, "model": model.value, "device": "cuda"}
    stored = _stored(model.value) if isinstance(dtype, Known) and dtype.value == "auto" else None
    if isinstance(dtype, Known) and dtype.value != "auto":
        stored = dtype.value
    return {**spec, "param_dtype": stored} if stored else spec


def _stored(model: dict[str, Any]) -> str | None:
    """Return the dtype of a model's checkpoint in the catalogue."""
    record = models.find(model["id"]) if "id" in model else None
    return record.checkpoint_dtype if record else None
