"""Models beside the trained one in a loop written by hand: EMA copies, teachers, references, frozen parts."""

from __future__ import annotations

import ast
from typing import TYPE_CHECKING, Any

from vramlint.facts.inspect_values import each
from vramlint.facts.names import Call, Place, dotted
from vramlint.facts.setting import Known, Origin, Setting, Unknown
from vramlint.facts.values import Class, Instance
from vramlint.frontends import beside, diffusers_models, model_objects, transformers_models
from vramlint.frontends.trace import Traced, traced

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from vramlint.frontends.base import Context, Training

# What a name says of a model that is not trained.
_ROLES = {
    "ref": "reference",
    "old_": "reference",
    "teacher": "teacher",
    "ema": "ema",
    "target": "target",
    "text_encoder": "text_encoder",
    "vae": "vae",
    "reward": "reward",
    "frozen": "frozen",
}
# Classes that keep a copy of the parameters they are given: torch.optim.swa_utils, timm.utils, torch_ema, ema_pytorch.
_AVERAGES = ("AveragedModel", "ModelEma", "ModelEmaV2", "ModelEmaV3", "ExponentialMovingAverage", "EMA")
_PACKAGES = {"torch", "timm", "torch_ema", "ema_pytorch"}
_MOST_NAMES = 80  # of one loop, so that a very long one stays quick


def settings(context: Context, training: Training) -> Mapping[str, Setting[Any]]:
    """Return the copies of the trained model and the frozen models that the loop uses; nothing where there are none."""
    if training.framework != "torch" or isinstance(training.model, Unknown):
        return {}
    trained = traced(context.script, training.model)
    if not trained or any(diffusers_models.is_ours(one) for one in trained):
        return {}
    copies = [*_copies(context, trained), *_averages(context)]
    others = list(_others(context, training, trained))
    unknown = next((one for one, _ in others if isinstance(one, Unknown)), None)
    if unknown is not None:
        return {"extra_models": unknown}
    found = [*copies, *others]
    if not found:
        return {}
    origin = found[0][1]
    return {"extra_models": Known([spec for spec, _ in found], Origin("source", origin.detail, origin.span))}


def _copies(context: Context, trained: tuple[Traced, ...]) -> Iterator[tuple[Any, Origin]]:
    """Yield each `copy.deepcopy` of the trained model."""
    keys = {one.key for one in trained}
    for call in context.script.calls("deepcopy"):
        given = context.script.value(call.node.args[0], call.place) if call.node.args else None
        if keys & {one.key for one in traced(context.script, given)} and not _is_weights(given):
            name = _bound_to(call)
            spec = {"role": _role(name) or "copy", "model": None, "device": "cuda"}
            yield spec, context.script.origin(call.node, call.place, f"{name or 'deepcopy'} = deepcopy(…)")


def _is_weights(setting: Setting[Any] | None) -> bool:
    """Return whether parameters are copied, or nothing that a module is."""
    value = setting.value if isinstance(setting, Known) else None
    return isinstance(value, Instance) and value.method in {"parameters", "named_parameters"}


def _averages(context: Context) -> Iterator[tuple[Any, Origin]]:
    for call in context.script.calls(*_AVERAGES):
        names = context.script.callee(call)
        if any(name.partition(".")[0] in _PACKAGES for name in names) and _surely(context, call.place):
            spec = {"role": "ema", "model": None, "device": "cuda"}
            yield spec, context.script.origin(call.node, call.place)


def _surely(context: Context, place: Place) -> bool:
    return all(context.script.evaluator.decided(arm) for arm in place.path)


def _bound_to(call: Call) -> str:
    """Return the name that the statement of a call binds."""
    for name, bindings in call.place.scope.bindings.items():
        if any(binding.place.order == call.place.order for binding in bindings):
            return name
    return ""


def _role(name: str) -> str | None:
    last = name.lower().rpartition(".")[2]
    words = {word: role for word, role in _ROLES.items() if last.startswith(word) or f"_{word}" in last}
    return next(iter(words.values()), None)


def _others(
    context: Context, training: Training, trained: tuple[Traced, ...]
) -> Iterator[tuple[dict[str, Any] | Unknown, Origin]]:
    """Yield the models that the loop names, that are not the trained one, and that nothing trains."""
    seen = {one.key for one in trained}
    frozen: set[object] | None = None
    for name, node in _used(training.call):
        setting = context.script.evaluator.evaluate(node, training.call.place)
        for one in traced(context.script, setting):
            if one.key in seen or not _is_model(one):
                continue
            frozen = _frozen(context) if frozen is None else frozen
            role = _role(name)
            if role is None and one.key not in frozen:
                continue
            seen.add(one.key)
            yield _spec(context, one, trained[0], role or "frozen"), one.base.origin


def _used(call: Call) -> Iterator[tuple[str, ast.expr]]:
    """Yield each dotted name that the outermost loop around a backward reads, once."""
    body = call.place.loops[0] if call.place.loops else call.place.scope.node
    if body is None:
        return
    seen: set[str] = set()
    for node in ast.walk(body):
        if isinstance(node, ast.Name | ast.Attribute) and isinstance(node.ctx, ast.Load):
            name = dotted(node)
            if name is not None and name not in seen and name.count(".") <= 1 and len(seen) < _MOST_NAMES:
                seen.add(name)
                yield name, node


def _is_model(one: Traced) -> bool:
    made = one.base.value
    if transformers_models.is_ours(one) or diffusers_models.is_ours(one):
        return True
    return (
        isinstance(made, Instance)
        and isinstance(made.local, Class)
        and any(name.startswith("torch.nn.") and name.endswith("Module") for name in made.names)
    )


def _frozen(context: Context) -> set[object]:
    """Return the objects that are put into evaluation mode or frozen, and never into training mode."""
    script = context.script

    def owners(*methods: str) -> set[object]:
        return {one.key for call in script.calls(*methods) for one in traced(script, script.receiver(call))}

    return owners("eval", "requires_grad_") - owners("train")


def _spec(context: Context, one: Traced, trained: Traced, role: str) -> dict[str, Any] | Unknown:
    """Return a model as the plan writes it; one of the trained model's own kind is a copy of it."""
    found = beside.described(context, Known(one.base.value, one.base.origin), role)
    if isinstance(found, Unknown) or "class" not in (found.get("model") or {}):
        return found
    same = model_objects.described(context, trained)
    is_same = any(known.value == found["model"] for known in each(same))
    return {**found, "model": None} if is_same else found
