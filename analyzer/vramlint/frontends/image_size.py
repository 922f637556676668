"""How large the training images are: the last resize or crop of the training transforms."""

from __future__ import annotations

import ast
from typing import TYPE_CHECKING, Any

from vramlint.facts import arguments
from vramlint.facts.inspect_values import each
from vramlint.facts.script import package
from vramlint.facts.setting import Known, Origin, Setting, Unknown
from vramlint.facts.values import Class, Instance, Items
from vramlint.frontends.trace import traced

if TYPE_CHECKING:
    from collections.abc import Mapping

    from vramlint.facts.names import Call
    from vramlint.frontends.base import Context, Training

_CROPS = ("RandomResizedCrop", "CenterCrop", "RandomCrop")
_RESIZES = ("Resize", "LongestMaxSize")
_NAMES = (
    "image_size",
    "img_size",
    "resolution",
    "input_size",
    "crop_size",
)
_PACKAGES = {"torchvision", "albumentations", "monai", "kornia", "timm"}
# Images of the data sets that torchvision names. Source: torchvision's data set pages.
_DATASETS = {
    "CIFAR10": 32,
    "CIFAR100": 32,
    "MNIST": 28,
    "FashionMNIST": 28,
    "KMNIST": 28,
    "EMNIST": 28,
    "SVHN": 32,
    "USPS": 16,
    "STL10": 96,
}
# Packages that open images.
_LIBRARIES = {"PIL", "cv2", "torchvision", "albumentations", "imageio", "skimage"}
_NOT_TRAINING = ("test", "val", "eval")


def settings(context: Context, training: Training) -> Mapping[str, Setting[Any]]:
    """Read the size from transforms, from the data set, or from a telling name; nothing without images."""
    if not (
        context.script.names.imports & _PACKAGES
        or any(name in context.script.names.calls for name in _CROPS + _RESIZES)
    ):
        return _open(context, training)
    found = (
        _rebound(context, training)
        or _transformed(context, _CROPS)
        or _transformed(context, _RESIZES)
        or _dataset(context)
        or _named(context, training)
    )
    return _open(context, training) if found is None else {"image_size": found}


def _open(context: Context, training: Training) -> dict[str, Setting[Any]]:
    """Return an unknown where the trained model is given images of which nothing says the size."""
    if not _reads_images(context, training):
        return {}
    named = _named(context, training) or _passed(context)
    if named is not None:
        return {"image_size": named}
    origin = context.script.origin(training.call.node, training.call.place)
    why = "images are read, and nothing says how large they are; name it with --set image_size=…"
    return {"image_size": Unknown(why, origin)}


def _passed(context: Context) -> Setting[Any] | None:
    """Return a size that calls of the script pass by a telling keyword, if all agree."""
    found: dict[int, Setting[Any]] = {}
    for calls in context.script.names.calls.values():
        for call in calls:
            for keyword in call.node.keywords:
                if keyword.arg in _NAMES and context.script.evaluator.live(call.place):
                    setting = context.script.argument(call, keyword.arg)
                    if isinstance(setting, Known) and isinstance(setting.value, int):
                        found.setdefault(setting.value, setting)
    return next(iter(found.values())) if len(found) == 1 else None


def _reads_images(context: Context, training: Training) -> bool:
    """Return whether images go into the model: an image library beside a class of its own, or a processor."""
    for one in traced(context.script, training.model):
        made = one.base.value
        is_own = isinstance(made, Instance) and isinstance(made.local, Class)
        if is_own and _imports(context) & _LIBRARIES:
            return True
        if isinstance(made, Instance) and any("Vision" in name for name in made.names):
            return True
    if _imports(context) & _LIBRARIES and any(
        "vision" in name.lower() for name in context.script.names.calls
    ):
        return True
    processors = ("processor", "image_processor", "feature_extractor")
    return any(
        keyword.arg == "images"
        for call in context.script.calls(*processors)
        for keyword in call.node.keywords
    )


def _imports(context: Context) -> set[str]:
    """Return what the script and the modules that it was followed into import."""
    modules = context.script.evaluator.modules.loaded.values()
    return context.script.names.imports.union(*(names.imports for names in modules))


def _rebound(context: Context, training: Training) -> Setting[Any] | None:
    """Return what `image_size` is at the training where a transform was made with an earlier value of it."""
    for call in context.script.calls(*_CROPS, *_RESIZES):
        node = call.node.args[0] if call.node.args else None
        if not (isinstance(node, ast.Name) and node.id.lower() in _NAMES):
            continue
        now = context.script.evaluator.name(node.id, training.call.place, None)
        then = context.script.value(node, call.place)
        if isinstance(now, Known) and isinstance(then, Known) and now.value != then.value:
            return _pixels(context, now)
    return None


def _transformed(context: Context, names: tuple[str, ...]) -> Setting[Any] | None:
    calls = [
        call
        for call in context.script.calls(*names)
        if any(package(name) in _PACKAGES for name in context.script.callee(call))
    ]
    training = [call for call in calls if not _is_for_evaluation(call)] or calls
    for call in training:
        size = context.script.argument(call, "size", 0)
        size = context.script.argument(call, "height", 0) if size is None else size
        if size is None:
            continue
        return (
            context.script.evaluator.joined(
                [_pixels(context, one) for one in each(size)], "the image size differs between branches"
            )
            if not isinstance(size, Unknown)
            else size
        )
    return None


def _is_for_evaluation(call: Call) -> bool:
    bound = [
        name.lower()
        for name, bindings in call.place.scope.bindings.items()
        for b in bindings
        if b.place is call.place
    ]
    node = call.place.scope.node
    inside = [node.name.lower()] if isinstance(node, ast.FunctionDef) else []
    return any(part in name for part in _NOT_TRAINING for name in bound + inside)


def _pixels(context: Context, known: Known[Any]) -> Setting[Any]:
    """Return an integer, or [height, width]."""
    value = known.value
    if isinstance(value, Items) and value.gaps is None:
        sides = [context.script.evaluator.force(item) for item in value.items]
        plain = [side.value for side in sides if isinstance(side, Known) and isinstance(side.value, int)]
        if len(plain) == len(sides) and len(plain) in {1, 2}:
            square = len(set(plain)) == 1
            first = sides[0]
            origin = first.origin if isinstance(first, Known) else known.origin
            return Known(plain[0] if square else plain, Origin(origin.kind, known.origin.detail, origin.span))
    if isinstance(value, int | float) and value > 0:
        return Known(int(value), known.origin)
    return Unknown(
        f"the image size `{known.origin.detail}` is known only at run time; name it with --set image_size=…",
        known.origin,
    )


def _dataset(context: Context) -> Setting[Any] | None:
    for call in context.script.calls(*_DATASETS):
        names = context.script.callee(call)
        for name in names:
            if package(name) == "torchvision":
                last = name.rpartition(".")[2]
                return Known(
                    _DATASETS[last],
                    context.script.origin(
                        call.node, call.place, f"{last} has images of {_DATASETS[last]} pixels"
                    ),
                )
    return None


def _named(context: Context, training: Training) -> Setting[Any] | None:
    evaluator = context.script.evaluator
    for name in (*_NAMES, *(name.upper() for name in _NAMES)):
        found = evaluator.name(name, training.call.place, None)
        found = arguments.declared(evaluator, name) if found is None else found
        if isinstance(found, Known) and isinstance(found.value, int) and not isinstance(found.value, bool):
            return found
    return None
