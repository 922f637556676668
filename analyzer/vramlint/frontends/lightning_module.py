"""A LightningModule of the script: which of its parts is trained, and what its methods hold."""

from __future__ import annotations

import ast
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from vramlint.facts import attributes, classes
from vramlint.facts.setting import Known, Origin, Setting, Unknown
from vramlint.facts.values import Class, Instance
from vramlint.frontends import diffusers_models, transformers_models
from vramlint.frontends.trace import Traced, traced

if TYPE_CHECKING:
    from vramlint.facts.names import Place
    from vramlint.frontends.base import Context

_LIBRARIES = {"torchvision", "timm", "monai", "segmentation_models_pytorch", "sentence_transformers"}
_BESIDE = ("loss", "criterion", "metric", "teacher", "ref", "target", "ema", "vae", "reference", "perceptual")


@dataclass(frozen=True, slots=True, eq=False)
class Module:
    """An object of a class of the file that derives from a Lightning class."""

    value: Instance
    owner: Class
    origin: Origin

    def holds(self, place: Place, method: str) -> bool:
        """Return whether a place is inside a method of the class."""
        scope = place.scope
        while scope is not None and scope.parent is not None:
            node = scope.node
            if isinstance(node, ast.FunctionDef) and node.name == method and scope.parent is self.owner.scope:
                return True
            scope = scope.parent
        return False

    def model(self, context: Context) -> Setting[Any]:
        """Return the part that is trained: a library's model in an attribute, else the class itself."""
        found: dict[object, Setting[Any]] = {}
        for name in self._attributes(context):
            setting = attributes.field(context.script.evaluator, self.value, name)
            for one in traced(context.script, setting):
                if _is_librarys(one):
                    assert setting is not None
                    found.setdefault(one.key, setting)
        if len(found) == 1:
            return next(iter(found.values()))
        if len(found) > 1:
            why = f"{self.owner.node.name} holds {len(found)} models"
            return Unknown(f"{why}; name what is trained with --set model=…", self.origin)
        return Known(self.value, self.origin)

    def is_manual(self, context: Context) -> bool:
        """Return whether the module steps its optimizers itself."""
        found = attributes.field(context.script.evaluator, self.value, "automatic_optimization")
        return isinstance(found, Known) and found.value is False

    def _attributes(self, context: Context) -> list[str]:
        """Return the names that the methods of the class store objects under, those beside the model left out."""
        names: dict[str, None] = {}
        for one in classes.lineage(context.script.evaluator, self.owner):
            for key in one.scope.bindings:
                name = key.removeprefix("self.")
                if key.startswith("self.") and not any(part in name.lower() for part in _BESIDE):
                    names[name] = None
        return list(names)


def _is_librarys(one: Traced) -> bool:
    value = one.base.value
    if transformers_models.is_ours(one) or diffusers_models.is_ours(one):
        return True
    names = value.names if isinstance(value, Instance) else ()
    return any(_is_library_call(name) for name in names)


def _is_library_call(name: str) -> bool:
    from_library = name.partition(".")[0] in _LIBRARIES and ".models" in name
    return from_library or name.endswith(".create_model")


def of(context: Context, setting: Setting[Any] | None) -> Module | None:
    """Return the module that a value is, None where it is no object of a class of the program."""
    for one in traced(context.script, setting):
        value = one.base.value
        if isinstance(value, Instance) and isinstance(value.local, Class):
            return Module(value, value.local, one.base.origin)
    return None


def of_class(context: Context, setting: Setting[Any] | None) -> Module | None:
    """Return the module that a class makes, as LightningCLI does."""
    if not (isinstance(setting, Known) and isinstance(setting.value, Class)):
        return None
    owner = setting.value
    place = owner.scope.place
    if place is None:
        return None
    names = tuple(context.script.evaluator.base_names(owner))
    return Module(Instance(names, None, place, local=owner, parsed=True), owner, setting.origin)
