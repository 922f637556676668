"""fastai: `vision_learner(dls, resnet34).fine_tune(…)` and the like.

Source: fastai 2.8, `vision/learner.py`, `learner.py`, `data/load.py`: batches of 64, Adam, 224 pixels only if resized.
"""

from __future__ import annotations

import ast
from typing import TYPE_CHECKING, Any

from vramlint.facts.names import terminal
from vramlint.facts.setting import Known, Origin, Setting, Unknown
from vramlint.frontends.base import Context, Training, assumed

if TYPE_CHECKING:
    from collections.abc import Iterator

    from vramlint.facts.names import Call

_FITS = ("fine_tune", "fit_one_cycle", "fit_flat_cos", "fit", "fit_sgdr")
_LEARNERS = ("vision_learner", "cnn_learner", "unet_learner")
_OTHER = ("Learner", "tabular_learner", "text_classifier_learner", "language_model_learner", "collab_learner")
_LOADERS = ("dataloaders", "from_folder", "from_name_func", "from_name_re", "from_path_func", "from_df", "from_csv",
            "from_lists", "from_label_func", "DataLoaders")  # fmt: skip
_ARCHITECTURE = ("resnet", "xresnet", "vgg", "alexnet", "densenet", "squeezenet", "efficientnet", "convnext")


def trainings(context: Context) -> Iterator[Training]:
    """Find the first fit of each learner; several fits of one learner are one run."""
    script = context.script
    if "fastai" not in script.names.imports:
        return
    fits = script.calls(*_FITS)
    for learner in script.calls(*_LEARNERS, *_OTHER):
        names = _bound_to(learner)
        used = next((call for call in fits if _owner(call) in names or _holds(call, learner)), None)
        if used is not None:
            yield Training("torch", used, None, settings=_settings(context, learner))


def _bound_to(made: Call) -> set[str]:
    bindings = made.place.scope.bindings
    return {
        name
        for name, every in bindings.items()
        for one in every
        if one.value is not None and any(node is made.node for node in ast.walk(one.value))
    }


def _owner(call: Call) -> str:
    node = call.node.func
    return terminal(node.value) if isinstance(node, ast.Attribute) else ""


def _holds(call: Call, made: Call) -> bool:
    return any(node is made.node for node in ast.walk(call.node.func))


def _settings(context: Context, learner: Call) -> dict[str, Setting[Any]]:
    origin = context.script.origin(learner.node, learner.place)
    halves = context.script.calls("to_fp16", "to_native_fp16")
    precision = Known(
        "no", Origin("framework-default", "fastai trains in float32 unless to_fp16() is called")
    )
    if halves:
        precision = Known("fp16", context.script.origin(halves[0].node, halves[0].place, "to_fp16()"))
    found: dict[str, Setting[Any]] = {
        "model": _model(context, learner, origin),
        "optimizer": _optimizer(context, learner),
        "micro_batch_size": _batch(context),
        "mixed_precision": precision,
        "gradient_accumulation_steps": assumed(1, "every batch is followed by a step"),
    }
    return found


def _model(context: Context, learner: Call, origin: Origin) -> Setting[Any]:
    """Return the architecture that a learner is called with: a function of torchvision, or timm's by its name."""
    args = learner.node.args
    node = next(
        (one.value for one in learner.node.keywords if one.arg == "arch"), args[1] if len(args) > 1 else None
    )
    if terminal(learner.node.func) not in _LEARNERS or node is None:
        return Unknown("the learner's model is not followed; name it with --set model=…", origin)
    value = context.script.value(node, learner.place)
    if isinstance(value, Known) and isinstance(value.value, str):
        return Known({"id": f"timm/{value.value}"}, value.origin)
    name = terminal(node)
    if name.startswith(_ARCHITECTURE):
        return Known({"id": f"torchvision/{name}"}, context.script.origin(node, learner.place))
    return Unknown(f"the architecture `{name}` is not followed; name it with --set model=…", origin)


def _optimizer(context: Context, learner: Call) -> Setting[Any]:
    given = next((one.value for one in learner.node.keywords if one.arg == "opt_func"), None)
    if given is None:
        return Known({"name": "torch.optim.Adam"}, Origin("framework-default", "opt_func=Adam, two states"))
    names = {"Adam": "torch.optim.Adam", "SGD": "torch.optim.SGD", "RMSProp": "torch.optim.RMSprop"}
    origin = context.script.origin(given, learner.place)
    known = names.get(terminal(given))
    return (
        Known({"name": known}, origin)
        if known
        else Unknown("opt_func is not followed; use --set optimizer=…", origin)
    )


def _batch(context: Context) -> Setting[Any]:
    """Return `bs=` of the call that makes the loaders, 64 where it is left out."""
    calls = context.script.calls(*_LOADERS)
    for call in calls:
        given = context.script.argument(call, "bs")
        if given is not None:
            return given
    return Known(64, Origin("framework-default", "bs=64, the default of fastai's loaders"))
