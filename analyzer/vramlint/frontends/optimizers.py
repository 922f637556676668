"""Which calls make optimizers, and which of them a training steps."""

from __future__ import annotations

import ast
from typing import TYPE_CHECKING, Any

from vramlint.facts.inspect_values import each
from vramlint.facts.script import lift
from vramlint.facts.setting import Known, Origin, Setting, Unknown
from vramlint.facts.shown import source
from vramlint.facts.values import Class, Instance, is_scalar
from vramlint.frontends import timm
from vramlint.frontends.own_optimizer import states_of
from vramlint.frontends.trace import traced

if TYPE_CHECKING:
    from vramlint.facts.names import Call, Place
    from vramlint.frontends.base import Context

_PACKAGES = {
    "bitsandbytes",
    "apex",
    "lion_pytorch",
    "prodigyopt",
    "galore_torch",
    "schedulefree",
    "torchao",
    "came_pytorch",
    "adafactor",
    "dadaptation",
    "pytorch_optimizer",
    "lomo_optim",
    "optimi",
    "sophia",
    "torch_optimizer",
    "heavyball",
    "muon",
    "adam_mini",
    "apollo_torch",
    "grokadamw",
}
_TRANSFORMERS = {"AdamW", "Adafactor"}
_OPTIONS = ("foreach", "fused", "amsgrad", "momentum", "nesterov", "centered", "weight_decay")
_POSITIONS = {"torch.optim.SGD": {"lr": 1, "momentum": 2}, "torch.optim.RMSprop": {"momentum": 5}}


def is_optimizer(names: tuple[str, ...]) -> bool:
    """Return whether qualified names are those of an optimizer class."""
    for name in names:
        parts = name.split(".")
        last = parts[-1]
        if (
            not last[:1].isupper()
            or "nn" in parts
            or "lr_scheduler" in parts
            or last.endswith(("LR", "Scheduler"))
        ):
            continue
        if "optim" in parts[:-1] or "optimizers" in parts[:-1] or parts[0] in _PACKAGES:
            return True
        if parts[0] == "transformers" and last in _TRANSFORMERS:
            return True
        if parts[0] == "deepspeed" and "Adam" in last:
            return True
    return False


def made(context: Context) -> list[Call]:
    """Return the live calls that make an optimizer, in the order of the text."""
    script = context.script
    found = []
    for name in script.names.calls:
        if name and not name[:1].isupper() and name not in {"getattr", *timm.FACTORIES}:
            continue
        found += [
            call
            for call in script.calls(name)
            if (call.node.args or call.node.keywords)
            and (is_optimizer(script.callee(call)) or timm.is_factory_name(script.callee(call)))
        ]
    return sorted(found, key=lambda call: call.place.order)


def stepped(context: Context, place: Place) -> Setting[Any] | None:
    """Return the optimizer that a loop steps: the object of its `.step()`, else the only one that is made."""
    found = candidates(context, place)
    return _one(context, found) if found else None


def candidates(context: Context, place: Place) -> list[Setting[Any]]:
    """Return what the loop around a place steps; where that is not followed, every optimizer that is made."""
    script = context.script
    found: list[Setting[Any]] = []
    steps = [
        call
        for call in script.calls("step")
        if call.place.scope is place.scope and "sched" not in source(call.node.func).lower()
    ]
    # A notebook may hold several loops: the steps of one are not those of another.
    around = [call for call in steps if call.place.loops[:1] == place.loops[:1]]
    for call in around or steps:
        receiver = script.receiver(call)
        if call.node.args and "scaler" in source(call.node.func).lower():
            receiver = script.value(call.node.args[0], call.place)
        if receiver is not None and _is_made(context, receiver):
            found.append(receiver)
    return found or _handed_over(context, place) or [script.made(call) for call in made(context)]


def _handed_over(context: Context, place: Place) -> list[Setting[Any]]:
    """Return what a scaler gets that steps by itself: `loss_scaler(loss, optimizer, …)`."""
    script = context.script
    calls = [call for call in script.calls("loss_scaler", "amp_scaler") if len(call.node.args) > 1]
    given = [script.value(call.node.args[1], call.place) for call in calls if call.place.scope is place.scope]
    return [setting for setting in given[:1] if _is_made(context, setting)]


def _is_made(context: Context, setting: Setting[Any]) -> bool:
    return any(
        isinstance(one.base.value, Instance)
        and (
            is_optimizer(one.base.value.names)
            or isinstance(one.base.value.local, Class)
            or timm.is_factory(one.base.value)
        )
        and "Scheduler" not in "".join(one.base.value.names)
        for one in traced(context.script, setting)
    )


def _one(context: Context, candidates: list[Setting[Any]]) -> Setting[Any]:
    different = {tuple(one.key for one in traced(context.script, setting)): setting for setting in candidates}
    if len(different) == 1:
        return next(iter(different.values()))
    return Unknown(f"{len(different)} optimizers are made here; several models may be trained at once")


def alike(context: Context, place: Place) -> Setting[Any] | None:
    """Return what all optimizers of a loop are, where several models have one each of the same kind."""
    found = [described(context, one) for one in candidates(context, place)]
    first = found[0] if found else None
    if not isinstance(first, Known) or any(
        not isinstance(one, Known) or one.value != first.value for one in found
    ):
        return None
    return Known(first.value, Origin("source", f"{len(found)} × {first.origin.detail}", first.origin.span))


def described(context: Context, setting: Setting[Any] | None) -> Setting[Any]:
    """Return an optimizer object as the plan writes it."""
    if setting is None:
        return Unknown("no optimizer is made in this file; name it with --set optimizer=…")
    if isinstance(setting, Unknown):
        return setting
    values = [_described(context, one.base) for one in traced(context.script, setting)]
    return context.script.evaluator.joined(values, "the optimizer differs between branches")


def _described(context: Context, known: Known[Any]) -> Setting[Any]:
    value = known.value
    if not isinstance(value, Instance) or value.call is None:
        return Unknown(
            f"`{known.origin.detail}` is known only at run time; name it with --set optimizer=…",
            known.origin,
        )
    if timm.is_factory(value):
        return timm.optimizer(context, value, known.origin)
    if isinstance(value.local, Class) and is_optimizer(tuple(value.names)):
        return _of_the_project(value, value.local, known)
    if not is_optimizer(value.names):
        name = value.local.node.name if isinstance(value.local, Class) else source(value.call.func)
        return Unknown(
            f"`{name}` is an optimizer of the project's own; name its like with --set optimizer=…",
            known.origin,
        )
    name = _public(next(name for name in value.names if is_optimizer((name,))))
    spec: dict[str, Any] = {"name": name}
    for option in _OPTIONS:
        given = context.script.argument(value, option, _POSITIONS.get(name, {}).get(option))
        if isinstance(given, Known) and is_scalar(given.value) and given.value is not None:
            spec[option] = given.value
    shown = ", ".join(f"{key}={item}" for key, item in spec.items() if key != "name")
    return Known(spec, Origin("source", f"{name.rpartition('.')[2]}({shown})", known.origin.span))


def _of_the_project(value: Instance, owner: Class, known: Known[Any]) -> Setting[Any]:
    """Return a class of the program by its name, with the tensors that its `step` keeps."""
    assert value.call is not None
    base = next((_public(name) for name in value.names if is_optimizer((name,))), "")
    name, span = owner.node.name, known.origin.span
    states = states_of(owner.node, value.call)
    if not states and base != "torch.optim.Optimizer":
        return Known({"name": base}, Origin("source", f"{name}, derived from {base}", span))
    if states is None:
        return Known({"name": name}, Origin("source", f"{name}(…), whose states are not followed", span))
    kept = ", ".join(state["name"] for state in states) or "nothing"
    detail = f"{name}(…), which keeps {kept} for each parameter"
    return Known({"name": name, "states": states}, Origin("source", detail, span))


def _public(name: str) -> str:
    """Return `torch.optim.AdamW` for `torch.optim.adamw.AdamW`."""
    parts = name.split(".")
    return f"torch.optim.{parts[-1]}" if parts[:2] == ["torch", "optim"] else name


__all__ = ["ast", "candidates", "described", "each", "is_optimizer", "lift", "made", "stepped"]
