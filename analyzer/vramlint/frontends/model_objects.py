"""Models that no framework's file names: classes of the script, vision libraries, other files."""

from __future__ import annotations

import ast
import re
from typing import TYPE_CHECKING, Any

from vramlint.facts.names import root
from vramlint.facts.setting import Known, Origin, Setting, Unknown
from vramlint.facts.shown import source
from vramlint.facts.values import Bound, Class, Element, Instance
from vramlint.frontends import timm, transformers_models
from vramlint.frontends.trace import Traced, traced

if TYPE_CHECKING:
    from collections.abc import Mapping

    from vramlint.frontends.base import Context, Training

_NAME_IT = "name it with --set model=…"
# Functions of which each makes a model in one size, and those that make whatever they are told to.
_SIZES = re.compile(r"\d|tiny|small|base|medium|large|huge|giant|nano|mini", re.IGNORECASE)
_MAKERS = re.compile(
    r"_?(?:build|create|get|make|load|init|setup|set_up|train|main|run|test|prepare|define)", re.IGNORECASE
)
_KERNELS = {"flash_attn_func": "flash_attention_2", "scaled_dot_product_attention": "sdpa"}


def settings(context: Context, training: Training) -> Mapping[str, Setting[Any]]:
    """Describe the trained object, or say why it cannot be."""
    model = training.model
    if model is None:
        return {}
    if isinstance(model, Unknown):
        return {"model": model}
    beginnings = [one for one in traced(context.script, model) if not transformers_models.is_ours(one)]
    if not beginnings:
        return {}
    values = [described(context, one) for one in beginnings]
    found = {"model": context.script.evaluator.joined(values, "the model differs between branches")}
    kernel = _kernel(context, beginnings[0]) if len(beginnings) == 1 else None
    return found if kernel is None else {**found, "attention": kernel}


def _kernel(context: Context, one: Traced) -> Setting[Any] | None:
    """Return the attention kernel that the file of a class of the program calls, None where it calls none."""
    made = one.base.value
    if not (isinstance(made, Instance) and isinstance(made.local, Class)):
        return None
    script = context.script
    module = root(made.local.scope)
    names = script.evaluator.modules.loaded.get(module, script.names)
    for function, kernel in _KERNELS.items():
        for call in names.calls.get(function, ())[:1]:
            return Known(kernel, script.origin(call.node, call.place, f"{function}(…)"))
    return None


def described(context: Context, one: Traced) -> Setting[Any]:  # noqa: PLR0911  one early return for each kind of value
    """Return a model object as a setting: a class of the file by name, what a library makes, or why not."""
    value, origin = one.base.value, one.base.origin
    if isinstance(value, Element):
        value = value.of
    if isinstance(value, Instance) and isinstance(value.local, Class):
        size = _size(value) or _wrapped_size(context, value)
        own = {"class": value.local.node.name}
        return Known({"id": size, **own} if size else own, origin)
    if isinstance(value, Instance) and value.names and value.names[0].startswith("torch.nn."):
        return Known({"class": value.names[0].rpartition(".")[2]}, origin)
    if isinstance(value, Instance) and value.names and not value.names[0].startswith("."):
        return _vision(context, value, origin) or _foreign(value.names[0], origin)
    if isinstance(value, Instance) and value.names and value.call is not None:
        return Unknown(
            f"the model comes from `{source(value.call.func)}(…)`, which is not followed; {_NAME_IT}", origin
        )
    if isinstance(value, Instance) and value.call is not None:
        callee = context.script.value(value.call.func, value.place, value.frame)
        why = callee.reason if isinstance(callee, Unknown) else f"`{source(value.call.func)}` is not followed"
        return Unknown(f"the model comes from {why}; {_NAME_IT}", origin)
    if isinstance(value, Bound) and isinstance(value.of, Instance) and value.of.parsed:
        return Unknown(f"comes from --{value.attribute}; {_NAME_IT} or --launch", origin)
    if isinstance(value, Bound) and value.of is None:
        return Unknown(f"{origin.detail}; {_NAME_IT}")
    if value is None:
        return Unknown(f"no model is given; {_NAME_IT}", origin)
    return Unknown(f"the model `{origin.detail}` is known only at run time; {_NAME_IT}", origin)


def _size(made: Instance) -> str:
    """Return the function that makes a class in one size, `vit_large_patch16`: what people call the model."""
    scope = made.place.scope
    name = scope.node.name if isinstance(scope.node, ast.FunctionDef) else ""
    is_plain = scope.parent is not None and scope.parent.kind == "module"
    return name if is_plain and _SIZES.search(name) and not _MAKERS.match(name) else ""


def _wrapped_size(context: Context, made: Instance) -> str:
    """Return the size of the model that a class of the program wraps: the first thing it is made with."""
    if made.call is None or not made.call.args or isinstance(made.call.args[0], ast.Starred):
        return ""
    inner = context.script.value(made.call.args[0], made.place, made.frame)
    owners = (one.base.value for one in traced(context.script, inner))
    sizes = (_size(one) for one in owners if isinstance(one, Instance) and isinstance(one.local, Class))
    return next((size for size in sizes if size), "")


def _foreign(name: str, origin: Origin) -> Unknown:
    package, _, _ = name.lstrip(".").partition(".")
    return Unknown(f"the model comes from `{name}`, and {package} is not read yet; {_NAME_IT}", origin)


def _vision(context: Context, made: Instance, origin: Origin) -> Setting[Any] | None:
    """Return a model of torchvision or timm by its public name."""
    parts = made.names[0].split(".")
    if parts[0] == "torchvision" and parts[-1] == "__dict__":
        return Unknown(f"which of torchvision's models is made is known only at run time; {_NAME_IT}", origin)
    if parts[0] == "torchvision" and "models" in parts and len(parts) > 2:  # noqa: PLR2004  counts arguments or characters
        return Known({"id": f"torchvision/{parts[-1]}"}, _arch_origin(made, origin))
    return timm.model(context, made)


def _arch_origin(made: Instance, origin: Origin) -> Origin:
    return Origin("source", ast.unparse(made.call.func) if made.call else origin.detail, origin.span)
