"""timm: models by `create_model`, optimizers by `create_optimizer_v2`, as its own and many other train.py use them.

Source: timm 1.0, `models/_factory.py`, `optim/_optim_factory.py` and `task/`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from vramlint.facts.script import lift
from vramlint.facts.setting import Known, Origin, Setting, Unknown
from vramlint.knowledge import optimizers as known_optimizers

if TYPE_CHECKING:
    from vramlint.facts.values import Instance
    from vramlint.frontends.base import Context

FACTORIES = ("create_optimizer", "create_optimizer_v2")
_MOMENTUM = 0.9  # what the factories give SGD where nothing else is asked for
_NAME_IT = "name it with --set model=…"


def is_factory(made: Instance) -> bool:
    """Return whether a value is what timm's factory of optimizers returns."""
    return is_factory_name(made.names)


def is_factory_name(names: tuple[str, ...]) -> bool:
    """Return whether qualified names are those of timm's factory of optimizers."""
    return any(name.startswith("timm.") and name.endswith(FACTORIES) for name in names)


def trained(context: Context, made: Instance) -> Setting[Any] | None:
    """Return the model that a factory's optimizer is for: its first argument, the old factory's second."""
    if made.names[0].endswith("create_optimizer"):
        return context.script.argument(made, "model", 1)
    return context.script.argument(made, "model_or_params", 0)


def optimizer(context: Context, made: Instance, origin: Origin) -> Setting[Any]:
    """Return the optimizer that a factory is asked for: `opt=`, or `--opt` out of the arguments it gets."""
    given = context.script.argument(made, "opt", 1) if made.names[0].endswith("_v2") else None
    if not isinstance(given, Known) or not isinstance(given.value, str):
        given = _declared(context)
    if given is None:
        return Unknown("timm's factory makes the optimizer; name it with --set optimizer=…", origin)
    return lift(given, _named) or given


def _declared(context: Context) -> Setting[Any] | None:
    from vramlint.facts import arguments  # noqa: PLC0415  these modules need each other

    return arguments.declared(context.script.evaluator, "opt")


def _named(known: Known[Any]) -> Setting[Any]:
    name = f"timm.optim.create_optimizer_v2(opt={str(known.value).lower()})"
    try:
        public = known_optimizers.find(name).names[0]
    except known_optimizers.UnknownOptimizer:
        public = name
    spec: dict[str, Any] = {"name": public}
    if public == "torch.optim.SGD":
        spec |= {"momentum": _MOMENTUM, "nesterov": True}
    return Known(spec, known.origin)


def model(context: Context, made: Instance) -> Setting[Any] | None:
    """Return a timm model by the name in its catalogue, None for what is none."""
    parts = made.names[0].split(".")
    if parts[0] != "timm" or parts[-1] != "create_model":
        return None
    given = context.script.argument(made, "model_name", 0)
    return lift(given, _model) if given is not None else None


def _model(known: Known[Any]) -> Setting[Any]:
    """Return a catalogue's name, which a Hub name holds behind `timm/`."""
    if not isinstance(known.value, str):
        return Unknown(
            f"the model's name, {known.origin.detail}, is known only at run time; {_NAME_IT}", known.origin
        )
    short = known.value.removeprefix("hf-hub:").removeprefix("hf_hub:").removeprefix("timm/")
    return Known({"id": f"timm/{short}"}, known.origin)
