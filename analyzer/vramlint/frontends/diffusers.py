"""diffusers training scripts: the trained part of a pipeline, and the frozen parts and copies beside it.

Source: diffusers at commit 58eb52c, `examples/`: frozen parts are cast to `weight_dtype`, an `EMAModel` holds a
float32 copy of the parameters.
"""

from __future__ import annotations

import ast
from typing import TYPE_CHECKING, Any

from vramlint.facts.script import is_from
from vramlint.facts.setting import Known, OneOf, Origin, Setting, Unknown, alternatives
from vramlint.frontends import beside, diffusers_models, transformers_models
from vramlint.frontends.dtypes import short_dtype
from vramlint.frontends.trace import Traced, traced
from vramlint.knowledge import models

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from vramlint.facts.names import Call
    from vramlint.frontends.base import Context, Training

_EVALUATION = ("valid", "eval", "test", "sample", "infer", "generate", "card", "hook", "log_")
_CLIP, _T5 = 77, 512  # tokens of a prompt
_DENOISERS = ("unet", "transformer")
_NAME_IT = "name the further models with --set extra_models=…"


def settings(context: Context, training: Training) -> Mapping[str, Setting[Any]]:
    """Read the trained part, its dtype, and what stands beside it."""
    if "diffusers" not in context.script.names.imports:
        return {}
    trained = traced(context.script, training.model)
    ours = [one for one in trained if diffusers_models.is_ours(one)]
    if not ours:
        return {}
    found: dict[str, Setting[Any]] = {"task": Known("diffusion", _at(context, training.call, "diffusers"))}
    values = [_described(context, training, one) for one in ours]
    reason = "the trained model differs between branches"
    for index, key in enumerate(("model", "param_dtype")):
        found[key] = context.script.evaluator.joined([value[index] for value in values], reason)
    found |= _prompts(context) or _prompts_of(context, training, found["model"])
    found["extra_models"] = _beside(context, training, {one.key for one in trained})
    return found


def _prompts(context: Context) -> dict[str, Setting[Any]]:
    """Return the length of prompts where CLIP alone encodes them: its tokenizer takes 77 tokens."""
    bound = context.script.names.module.bindings
    if not {"CLIPTokenizer", "CLIPTextModel"} & set(bound) or any(name.startswith("T5") for name in bound):
        return {}
    first = next(one for name in ("CLIPTokenizer", "CLIPTextModel") for one in bound.get(name, ()))
    origin = context.script.origin(first.node, first.place, "CLIP's tokenizer takes 77 tokens")
    return {"sequence_length": Known(_CLIP, origin)}


def _prompts_of(context: Context, training: Training, model: Setting[Any]) -> dict[str, Setting[Any]]:
    """Return the length of prompts of a pipeline whose text encoders the catalogue knows."""
    names = [str(value.get("id")) for value in alternatives(model) if isinstance(value, dict)]
    records = [models.find(name) for name in names]
    encoders = {part.architecture for one in records if one for part in one.components if "text" in part.name}
    if not encoders:
        return {}
    if all(name.startswith("CLIP") for name in encoders):
        return {
            "sequence_length": Known(_CLIP, _at(context, training.call, "CLIP's tokenizer takes 77 tokens"))
        }
    why = "T5 takes prompts of any length; name it with --set sequence_length=…"
    origin = Origin("assumed", "diffusers' scripts take 77 to 512 tokens")
    return {"sequence_length": Unknown(why, origin, (_CLIP, _T5, _T5))}


def _at(context: Context, call: Call, detail: str) -> Origin:
    return context.script.origin(call.node, call.place, detail)


def _described(context: Context, training: Training, one: Traced) -> tuple[Setting[Any], Setting[Any]]:
    model, dtype = diffusers_models.model_and_dtype(context, one)
    return model, _cast(context, training, one) or dtype


def _cast(context: Context, training: Training, one: Traced) -> Setting[Any] | None:
    """Return the dtype of the last `model.to(device, dtype=…)` before the training."""
    last: Setting[Any] | None = None
    for call in context.script.calls("to"):
        if call.place.order > training.call.place.order or _is_for_evaluation(call):
            continue
        if not any(other.key == one.key for other in traced(context.script, context.script.receiver(call))):
            continue
        last = _dtype_of(context, call) or last
    return last


def _dtype_of(context: Context, call: Call) -> Setting[Any] | None:
    given = [context.script.argument(call, "dtype")]
    given += [
        context.script.value(node, call.place) for node in call.node.args if not isinstance(node, ast.Starred)
    ]
    for setting in given:
        if isinstance(setting, Known) and (short := short_dtype(setting.value)) is not None:
            return Known(short, setting.origin)
        if setting is not None and not isinstance(setting, Known):
            names = {short_dtype(getattr(one, "value", None)) for one in getattr(setting, "alternatives", ())}
            if isinstance(setting, Unknown) or names - {None}:
                return context.script.evaluator.each(setting, lambda value: _short(value, call, context))
    return None


def _short(value: object, call: Call, context: Context) -> Setting[Any]:
    short = short_dtype(value)
    origin = _at(context, call, "to(…)")
    return Known(short, origin) if short else Unknown("the dtype is known only at run time", origin)


def _is_for_evaluation(call: Call) -> bool:
    node = call.place.scope.node
    return isinstance(node, ast.FunctionDef) and any(part in node.name.lower() for part in _EVALUATION)


def _beside(context: Context, training: Training, trained: set[object]) -> Setting[Any]:
    """Return the other models that are loaded before the training, each by the name of its part."""
    found: dict[object, dict[str, Any]] = {}
    undecided: set[object] = set()
    gone = {one.key for one in _deleted(context, training)}
    first: Origin | None = None
    for call in _loads(context, training):
        for one in traced(context.script, context.script.made(call)):
            if one.key in trained or one.key in found or not _is_model(one):
                continue
            if _role(context, call) in _DENOISERS and not _is_moved(context, one):
                continue  # it stays in host memory: a copy of its weights is what trains, or follows the training
            if any(context.script.evaluator.decided(arm) is None for arm in call.place.path):
                undecided.add(one.key)
            spec = beside.described(context, Known(one.base.value, one.base.origin), _role(context, call))
            if isinstance(spec, Unknown):
                return spec
            dtype = _cast(context, training, one)
            if isinstance(dtype, Known):
                spec["param_dtype"] = dtype.value
            if one.key in gone:
                spec["freed"] = True
            found[one.key] = spec
            first = first or one.base.origin
    copies = list(_copies(context))
    origin = first or _at(context, training.call, "no other model is loaded")
    origin = Origin("source", origin.detail, origin.span)
    whole = Known([*found.values(), *copies], origin)
    if not undecided:
        return whole
    certain = [spec for key, spec in found.items() if key not in undecided]
    why = f"a further model is loaded in a branch that depends on the run; {_NAME_IT}"
    return OneOf((whole, Known([*certain, *copies], origin)), why)


def _deleted(context: Context, training: Training) -> Iterator[Traced]:
    """Yield the models that the training's function surely deletes before it begins."""
    here, decided = training.call.place, context.script.evaluator.decided
    for target, place in context.script.names.deletions:
        is_before = place.scope is here.scope and place.order < here.order
        if is_before and not place.loops and all(decided(arm) for arm in place.path):
            yield from traced(context.script, context.script.value(target, place))


def _is_moved(context: Context, one: Traced) -> bool:
    """Return whether a script puts a model on a device."""
    return any(
        other.key == one.key
        for call in (*context.script.calls("to"), *context.script.calls("cuda"))
        if not _is_for_evaluation(call)
        for other in traced(context.script, context.script.receiver(call))
    )


def _loads(context: Context, training: Training) -> Iterator[Call]:
    for call in context.script.calls("from_pretrained"):
        if call.place.order < training.call.place.order and not _is_for_evaluation(call):
            yield call


def _is_model(one: Traced) -> bool:
    return diffusers_models.is_ours(one) or transformers_models.is_ours(one)


def _role(context: Context, call: Call) -> str:
    part = context.script.argument(call, "subfolder")
    if isinstance(part, Known) and isinstance(part.value, str):
        return part.value
    names = context.script.callee(call)
    last = names[0].split(".")[-2] if names and names[0].count(".") else ""
    return "vae" if "Autoencoder" in last else "text_encoder" if "Text" in last or "T5" in last else "frozen"


def _copies(context: Context) -> Iterator[dict[str, Any]]:
    """Return the float32 copies that `EMAModel(model.parameters())` keeps."""
    for call in context.script.calls("EMAModel"):
        if not is_from(context.script.callee(call), {"diffusers"}, {"EMAModel"}):
            continue
        if all(context.script.evaluator.decided(arm) for arm in call.place.path):
            yield {"role": "ema", "model": None, "param_dtype": "float32", "device": "cuda"}
