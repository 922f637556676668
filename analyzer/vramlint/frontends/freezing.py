"""Frozen parameters: `requires_grad = False`, `.requires_grad_(False)`."""

from __future__ import annotations

import ast
from typing import TYPE_CHECKING, Any

from vramlint.facts.setting import Known, Origin, Setting, Unknown
from vramlint.facts.shown import source
from vramlint.facts.values import Instance
from vramlint.frontends import peft
from vramlint.frontends.trace import traced

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from vramlint.facts.names import Place
    from vramlint.frontends.base import Context, Training

_BESIDE = ("vae", "text_encoder", "ref", "teacher", "target", "ema", "reference", "old_")
# timm's accessor of the head, and the names that heads have there.
_HEADS = {"get_classifier()": "(?:fc|head|classifier)"}
_WHOLE = {"base_model", "module"}


def settings(context: Context, training: Training) -> Mapping[str, Setting[Any]]:
    """Read which part of the model is frozen where its path says it; else say which line freezes some."""
    patterns: dict[str, Origin] = {}
    for owner, node, place in frozen(context):
        if any(owner.lower().startswith(part) for part in _BESIDE) or _is_other(
            context, training, owner, place
        ):
            continue
        origin = context.script.origin(node, place)
        root, _, part = owner.partition(".")
        if not part or part in _WHOLE:
            kept = _trained_again(context, root, place)
            if kept:
                parts = "|".join(f"{name}\\." for name in kept)
                return {"frozen": Known([f"^(?!{parts})"], origin)}
        if not part or part in _WHOLE or "[" in part:
            return {
                "frozen": Unknown(
                    f"`{owner}` is frozen here, perhaps in part; say what with --set frozen='[…]'", origin
                )
            }
        patterns["^" + part.replace(".", "\\.") + "\\."] = origin
    if not patterns:
        return {}
    return {"frozen": Known(list(patterns), next(iter(patterns.values())))}


def _trained_again(context: Context, root: str, place: Place) -> list[str]:
    """Return the parts of a model that is frozen whole that are put in anew, or unfrozen, after that."""
    parts: dict[str, None] = {}
    for name, bindings in place.scope.bindings.items():
        owner, _, part = name.partition(".")
        made = any(
            binding.place.order > place.order and isinstance(binding.value, ast.Call) for binding in bindings
        )
        if owner == root and part and "." not in part and "[" not in part and made:
            parts[part] = None
    for owner in _unfrozen(context):
        first, _, part = owner.partition(".")
        if first == root and part:
            parts[_HEADS.get(part, part.replace(".", "\\."))] = None
    return [part for part in parts if "[" not in part and "requires_grad" not in part]


def _unfrozen(context: Context) -> Iterator[str]:
    """Return the dotted names of modules whose parameters are set to train."""
    script = context.script
    for call in script.calls("requires_grad_"):
        value = script.argument(call, "requires_grad", 0)
        on = value is None or (isinstance(value, Known) and value.value is True)
        if on and isinstance(call.node.func, ast.Attribute):
            yield _module(call.node.func.value, call.place)
    for scope in (script.names.module, *script.names.scopes.values()):
        for name, bindings in scope.bindings.items():
            for binding in bindings if name.endswith(".requires_grad") else ():
                if isinstance(binding.value, ast.Constant) and binding.value.value is True:
                    yield _iterated(name.removesuffix(".requires_grad"), binding.place)


def _is_other(context: Context, training: Training, owner: str, place: Place) -> bool:
    """Return whether what is frozen is another model, or the base model under adapters, which are frozen anyway."""
    root, _, part = owner.partition(".")
    setting = context.script.evaluator.name(root, place, None)
    frozen = {one.key for one in traced(context.script, setting) if isinstance(one.base.value, Instance)}
    trained = {one.key for one in traced(context.script, training.model)}
    if frozen and trained and not frozen & trained:
        return True
    adapted = "lora" in training.settings or "lora" in peft.settings(context, training)
    return adapted and (not part or part in _WHOLE)


def frozen(context: Context) -> Iterator[tuple[str, ast.AST, Place]]:
    """Return the dotted names of modules whose parameters are frozen, with the place."""
    script = context.script
    for call in script.calls("requires_grad_"):
        value = script.argument(call, "requires_grad", 0)
        if isinstance(value, Known) and value.value is False and isinstance(call.node.func, ast.Attribute):
            yield _module(call.node.func.value, call.place), call.node, call.place
    for scope in (script.names.module, *script.names.scopes.values()):
        for name, bindings in scope.bindings.items():
            if not name.endswith(".requires_grad"):
                continue
            for binding in bindings:
                off = isinstance(binding.value, ast.Constant) and binding.value.value is False
                if off and script.evaluator.live(binding.place):
                    yield (
                        _iterated(name.removesuffix(".requires_grad"), binding.place),
                        binding.node,
                        binding.place,
                    )


def _iterated(name: str, place: Place) -> str:
    """Return the module a loop goes over: `model.vit` of `for p in model.vit.parameters()`."""
    for loop in reversed(place.loops):
        if isinstance(loop, ast.For):
            text = source(loop.iter) if not isinstance(loop.iter, ast.Call) else source(loop.iter.func)
            if "parameters" in text:
                return text.rpartition(".")[0]
    return name


def _module(node: ast.expr, place: Place) -> str:
    return (
        _iterated(source(node), place)
        if isinstance(node, ast.Name) and len(node.id) <= 5 and place.loops  # noqa: PLR2004  counts arguments or characters
        else source(node)
    )
