"""Lightning: `Trainer(precision=…).fit(module)`; the module's own code is not read yet."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from vramlint.facts.script import is_from, lift
from vramlint.facts.setting import Known, Origin, Setting, Unknown
from vramlint.facts.values import Instance
from vramlint.frontends import loaders, optimizers
from vramlint.frontends.base import Context, Training, assumed
from vramlint.frontends.trace import traced

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

_PACKAGES = {"lightning", "pytorch_lightning"}
_MIXED = {"bf16-mixed": "bf16", "bf16": "bf16", "16-mixed": "fp16", "16": "fp16"}
_WHOLE = {"bf16-true": "bfloat16", "16-true": "float16", "64-true": "float64", "64": "float64"}


def trainings(context: Context) -> Iterator[Training]:
    """Find the trainers whose `.fit()` is called."""
    script = context.script
    for call in script.calls("fit"):
        for one in traced(script, script.receiver(call)):
            made = one.base.value
            if isinstance(made, Instance) and is_from(made.names, _PACKAGES, {"Trainer"}):
                yield Training(
                    "lightning",
                    call,
                    script.argument(call, "model", 0),
                    trainer=made,
                    settings=_settings(context, made, one.base.origin),
                )


def settings(context: Context, training: Training) -> Mapping[str, Setting[Any]]:
    """Read the precision of a loop that Fabric runs."""
    if training.framework != "torch":
        return {}
    for call in context.script.calls("Fabric"):
        if is_from(context.script.callee(call), {*_PACKAGES, "lightning_fabric"}, {"Fabric"}):
            origin = context.script.origin(call.node, call.place)
            given = context.script.argument(call, "precision")
            known = (
                lift(given, _fabric_precision)
                if given is not None
                else Known("no", Origin("framework-default", "Fabric(precision='32-true')"))
            )
            return {
                "mixed_precision": known or Unknown("Fabric's precision is known only at run time", origin)
            }
    return {}


def _fabric_precision(known: Known[Any]) -> Setting[Any]:
    text = str(known.value)
    if text in _MIXED:
        return Known(_MIXED[text], known.origin)
    if known.value is None or text in {"32", "32-true"}:
        return Known("no", known.origin)
    return Unknown(
        f"Fabric's precision `{known.origin.detail}` is not read yet; name it with --set mixed_precision=…",
        known.origin,
    )


def _settings(context: Context, trainer: Instance, origin: Origin) -> dict[str, Setting[Any]]:
    script = context.script
    steps = script.argument(trainer, "accumulate_grad_batches")
    made = optimizers.made(context)
    optimizer = script.made(made[0]) if len(made) == 1 else None
    found: dict[str, Setting[Any]] = {
        "model": Unknown(
            "the LightningModule's own code is not read yet; name the model with --set model=…", origin
        ),
        "optimizer": optimizers.described(context, optimizer),
        "gradient_accumulation_steps": steps
        if steps is not None
        else assumed(1, "accumulate_grad_batches=1, Lightning's default"),
        "loop": Known(
            {"zero_grad": "before_backward"},
            Origin("framework-default", "Lightning's automatic optimization"),
        ),
    }
    calls = script.calls("DataLoader")
    if calls:
        place = calls[0].place
        found["micro_batch_size"] = loaders.batch_size(context, place, loaders.feeding(context, place))
    return {**found, **_precision(context, trainer), **_strategy(context, trainer)}


def _precision(context: Context, trainer: Instance) -> dict[str, Setting[Any]]:
    given = context.script.argument(trainer, "precision")
    if given is None:
        return {
            "mixed_precision": Known(
                "no", Origin("framework-default", "Trainer(precision='32-true'), Lightning's default")
            )
        }
    mixed = lift(given, lambda known: Known(_MIXED.get(str(known.value), "no"), known.origin))
    found = {} if mixed is None else {"mixed_precision": mixed}
    if isinstance(given, Known) and str(given.value) in _WHOLE:
        found["param_dtype"] = Known(_WHOLE[str(given.value)], given.origin)
    return found


def _strategy(context: Context, trainer: Instance) -> dict[str, Setting[Any]]:
    given = context.script.argument(trainer, "strategy")
    if given is None or (isinstance(given, Known) and given.value in {"auto", None}):
        return {}
    if isinstance(given, Known) and given.value in {"ddp", "ddp_spawn", "ddp_find_unused_parameters_true"}:
        size = context.world_size.value if context.world_size else 2
        return {"sharding": Known({"kind": "ddp", "world_size": size}, given.origin)}
    origin = given.origin if isinstance(given, Known | Unknown) else None
    return {
        "sharding": Unknown(
            "the Lightning strategy is not read yet; describe it with --set sharding=…", origin
        )
    }
