"""Composer: `Trainer(model=…, train_dataloader=…, precision=…).fit()`.

Source: composer 0.30, `trainer/trainer.py`: `precision` defaults to `amp_fp16` on GPUs.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from vramlint.facts.script import is_from, lift
from vramlint.facts.setting import Known, Origin, Setting, Unknown
from vramlint.facts.values import Instance
from vramlint.frontends import loaders, optimizers
from vramlint.frontends.base import Context, Training
from vramlint.frontends.trace import traced

if TYPE_CHECKING:
    from collections.abc import Iterator

    from vramlint.facts.names import Call

_PRECISIONS = {"amp_bf16": "bf16", "amp_fp16": "fp16", "fp32": "no", "amp_fp8": "bf16"}


def trainings(context: Context) -> Iterator[Training]:
    """Find Composer's trainers whose `.fit()` is called."""
    script = context.script
    if "composer" not in script.names.imports:
        return
    for call in script.calls("fit"):
        for one in traced(script, script.receiver(call)):
            made = one.base.value
            if isinstance(made, Instance) and is_from(made.names, {"composer"}, {"Trainer"}):
                yield _training(context, call, made)


def _training(context: Context, call: Call, trainer: Instance) -> Training:
    script = context.script
    given = script.argument(trainer, "optimizers")
    optimizer = given if given is not None else next(iter(map(script.made, optimizers.made(context))), None)
    found: dict[str, Setting[Any]] = {
        "optimizer": optimizers.described(context, optimizer),
        "mixed_precision": _precision(context, trainer),
        **_batch(context, call, trainer),
    }
    return Training("composer", call, script.argument(trainer, "model", 0), trainer=trainer, settings=found)


def _precision(context: Context, trainer: Instance) -> Setting[Any]:
    given = context.script.argument(trainer, "precision")
    if given is None or (isinstance(given, Known) and given.value is None):
        return Known("fp16", Origin("framework-default", "Trainer(precision='amp_fp16') on GPUs"))
    return lift(given, _named) or given


def _named(known: Known[Any]) -> Setting[Any]:
    short = _PRECISIONS.get(str(known.value))
    if short is None:
        why = f"the precision `{known.origin.detail}` is known only at run time"
        return Unknown(f"{why}; name it with --set mixed_precision=…", known.origin)
    return Known(short, known.origin)


def _batch(context: Context, call: Call, trainer: Instance) -> dict[str, Setting[Any]]:
    """Return the micro batch that a GPU takes at once, and how many make a step."""
    whole = context.script.argument(trainer, "train_dataloader")
    rows: Setting[Any] = loaders.batch_size(context, call.place, loaders.feeding(context, call.place))
    for one in traced(context.script, whole):
        if isinstance(one.base.value, Instance) and is_from(one.base.value.names, {"torch"}, {"DataLoader"}):
            rows = loaders.batch_size(context, call.place, one.base.value)
    micro = context.script.argument(trainer, "device_train_microbatch_size")
    if isinstance(micro, Known) and micro.value == "auto":
        return {
            "micro_batch_size": Unknown(
                "device_train_microbatch_size='auto' finds it in the run", micro.origin
            )
        }
    if not (isinstance(micro, Known) and isinstance(micro.value, int)):
        return {"micro_batch_size": rows}
    found: dict[str, Setting[Any]] = {"micro_batch_size": micro}
    if isinstance(rows, Known) and isinstance(rows.value, int):
        found["gradient_accumulation_steps"] = Known(-(-rows.value // micro.value), micro.origin)
    return found
