"""Lightning: `Trainer(precision=…).fit(module)`, LightningCLI, and the loops that Fabric runs.

Source: lightning 2.6.6, `trainer/`, `plugins/precision/`, `strategies/`: "-mixed" is autocast, "-true" casts the
whole module.
"""

from __future__ import annotations

import ast
from typing import TYPE_CHECKING, Any

from vramlint.facts.names import terminal
from vramlint.facts.script import is_from, lift
from vramlint.facts.setting import Known, Origin, Setting, Unknown
from vramlint.facts.values import Function, Instance
from vramlint.frontends import lightning_module, lightning_strategy, loaders, optimizers
from vramlint.frontends.base import Context, Training, assumed
from vramlint.frontends.trace import traced

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

_PACKAGES = {"lightning", "pytorch_lightning", "lightning_fabric"}
_MIXED = {"bf16-mixed": "bf16", "bf16": "bf16", "16-mixed": "fp16", "16": "fp16"}
_WHOLE = {"bf16-true": "bfloat16", "16-true": "float16", "64-true": "float64", "64": "float64",
          "transformer-engine": "bfloat16", "transformer-engine-float16": "float16"}  # fmt: skip
_PLAIN = {"32", "32-true", "None"}


def trainings(context: Context) -> Iterator[Training]:
    """Find the trainers whose `.fit()` is called, and LightningCLI, which fits by itself."""
    script = context.script
    if not script.names.imports & _PACKAGES:
        return
    seen: set[object] = set()
    for call in script.calls("fit"):
        for one in traced(script, script.receiver(call)):
            made = one.base.value
            if not isinstance(made, Instance) or call.node in seen:
                continue
            if is_from(made.names, _PACKAGES, {"Trainer", "from_argparse_args"}):
                seen.add(call.node)
                yield _fitted(context, call, made)
    for call in script.calls("LightningCLI"):
        run = script.argument(call, "run")
        waits = isinstance(run, Known) and run.value is False and not _fits(context)
        if is_from(script.callee(call), _PACKAGES, {"LightningCLI"}) and not waits:
            yield _by_command_line(context, call)


def _fits(context: Context) -> bool:
    """Return whether the script calls `cli.trainer.fit` itself."""
    functions = (call.node.func for call in context.script.calls("fit"))
    return any(isinstance(one, ast.Attribute) and terminal(one.value) == "trainer" for one in functions)


def _fitted(context: Context, call: Any, trainer: Instance) -> Training:
    module = lightning_module.of(context, context.script.argument(call, "model", 0))
    data = context.script.argument(call, "datamodule")
    for name, position in (("train_dataloaders", 1), ("train_dataloader", None)):
        data = context.script.argument(call, name, position) if data is None else data
    model = None if module is None else module.model(context)
    if module is None:
        model = context.script.argument(call, "model", 0)
    found = {
        "optimizer": _optimizer(context, module),
        "micro_batch_size": _batch(context, call, data, module),
        "gradient_accumulation_steps": _accumulation(context, trainer),
        "loop": _loop(context, trainer, module),
        **_precision(context, trainer),
        **lightning_strategy.read(context, trainer),
    }
    return Training("lightning", call, model, trainer=trainer, settings=found)


def _by_command_line(context: Context, call: Any) -> Training:
    """Return the run of LightningCLI: its configuration file or flags say what the trainer does."""
    module = lightning_module.of_class(context, context.script.argument(call, "model_class", 0))
    origin = context.script.origin(call.node, call.place)
    found: dict[str, Setting[Any]] = {
        key: Unknown(f"LightningCLI's configuration says it; name it with --set {key}=…", origin)
        for key in ("gradient_accumulation_steps", "mixed_precision", "sharding")
    }
    if context.launch.flags:
        # The flags and the file of `--config` fill the trainer: `--trainer.precision`, `trainer: {precision: …}`.
        trainer = Instance(("lightning.Trainer",), None, call.place, parsed=True)
        found = {
            "gradient_accumulation_steps": _accumulation(context, trainer),
            **_precision(context, trainer),
            **lightning_strategy.read(context, trainer),
        }
    found["optimizer"] = _optimizer(context, module)
    found["micro_batch_size"] = _batch(
        context, call, context.script.argument(call, "datamodule_class", 1), module
    )
    found["loop"] = _loop(context, None, module)
    return Training("lightning", call, None if module is None else module.model(context), settings=found)


def _optimizer(context: Context, module: lightning_module.Module | None) -> Setting[Any]:
    made = optimizers.made(context)
    own = [call for call in made if module is not None and module.holds(call.place, "configure_optimizers")]
    chosen = own or made
    if len(chosen) == 1:
        return optimizers.described(context, context.script.made(chosen[0]))
    if not chosen:
        return Unknown("configure_optimizers is not followed; name it with --set optimizer=…")
    settings = [optimizers.described(context, context.script.made(call)) for call in chosen]
    different = {repr(one.value) for one in settings if isinstance(one, Known)}
    if len(different) == 1 and len(settings) == len([one for one in settings if isinstance(one, Known)]):
        return settings[0]
    origin = context.script.origin(chosen[0].node, chosen[0].place)
    why = f"{len(chosen)} optimizers are made here, and the run decides which of them counts"
    return Unknown(f"{why}; name it with --set optimizer=…", origin)


def _batch(
    context: Context, call: Any, data: Setting[Any] | None, module: lightning_module.Module | None
) -> Setting[Any]:
    """Return the batch of the loader that is given, or of the one that `train_dataloader` makes."""
    for one in traced(context.script, data):
        value = one.base.value
        if isinstance(value, Instance) and is_from(value.names, {"torch", "torch_geometric"}, {"DataLoader"}):
            return loaders.batch_size(context, call.place, value)
        if isinstance(value, Function) or (isinstance(value, Instance) and isinstance(value.local, Function)):
            continue
        holder = lightning_module.of(context, Known(value, one.base.origin)) or lightning_module.of_class(
            context, Known(value, one.base.origin)
        )
        if holder is not None and (found := _from_method(context, holder)) is not None:
            return found
    found = _from_method(context, module) if module is not None else None
    return found or loaders.batch_size(context, call.place, loaders.feeding(context, call.place))


def _from_method(context: Context, holder: lightning_module.Module) -> Setting[Any] | None:
    for call in context.script.calls("DataLoader"):
        if holder.holds(call.place, "train_dataloader"):
            for one in traced(context.script, context.script.made(call)):
                if isinstance(one.base.value, Instance):
                    return loaders.batch_size(context, call.place, one.base.value)
    return None


def _accumulation(context: Context, trainer: Instance) -> Setting[Any]:
    steps = context.script.argument(trainer, "accumulate_grad_batches")
    if steps is None or (isinstance(steps, Known) and steps.value is None):
        return assumed(1, "accumulate_grad_batches=1, Lightning's default")
    return steps


def _loop(context: Context, trainer: Instance | None, module: lightning_module.Module | None) -> Setting[Any]:
    """Return how the loop is written: gradients of the step before are alive in forward."""
    spec: dict[str, Any] = {"zero_grad": "before_backward"}
    clip = context.script.argument(trainer, "gradient_clip_val") if trainer is not None else None
    if isinstance(clip, Known) and isinstance(clip.value, int | float) and clip.value > 0:
        spec["clip_grad_norm"] = float(clip.value)
    manual = module is not None and module.is_manual(context)
    detail = "Lightning's manual optimization" if manual else "Lightning's automatic optimization"
    return Known({} if manual else spec, Origin("framework-default", detail))


def _precision(context: Context, trainer: Instance) -> dict[str, Setting[Any]]:
    """Return autocast of "-mixed", the whole dtype of "-true"; 32 bits leave a model as it was loaded."""
    given = context.script.argument(trainer, "precision")
    if given is None or (isinstance(given, Known) and given.value is None):
        origin = Origin("framework-default", "Trainer(precision='32-true'), Lightning's default")
        return {"mixed_precision": Known("no", origin)}
    found = {"mixed_precision": lift(given, _mixed) or Unknown("the precision is known only at run time")}
    if isinstance(given, Known) and str(given.value) in _WHOLE:
        found["param_dtype"] = Known(_WHOLE[str(given.value)], given.origin)
    return found


def _mixed(known: Known[Any]) -> Setting[Any]:
    if isinstance(known.value, Instance) and is_from(
        known.value.names, {"litgpt", "lit_gpt"}, {"get_default_supported_precision"}
    ):
        origin = Origin("framework-default", "LitGPT trains in bf16-mixed on GPUs that have it")
        return Known("bf16", origin)
    text = str(known.value)
    if text in _MIXED:
        return Known(_MIXED[text], known.origin)
    if text in _PLAIN or text in _WHOLE:
        return Known("no", known.origin)
    why = f"the precision `{known.origin.detail}` is known only at run time"
    return Unknown(f"{why}; name it with --set mixed_precision=…", known.origin)


def settings(context: Context, training: Training) -> Mapping[str, Setting[Any]]:
    """Read the precision and the strategy of a loop that Fabric runs."""
    if training.framework != "torch":
        return {}
    for call in context.script.calls("Fabric"):
        if not is_from(context.script.callee(call), _PACKAGES, {"Fabric"}):
            continue
        made = next(iter(traced(context.script, context.script.made(call))), None)
        if made is None or not isinstance(made.base.value, Instance):
            return {}
        fabric = made.base.value
        return {**_precision(context, fabric), **lightning_strategy.read(context, fabric)}
    return {}
