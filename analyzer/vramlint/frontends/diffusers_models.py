"""Models made by diffusers: `from_pretrained` of a repository's part, or a class called with its sizes.

Source: diffusers at commit 58eb52c, `models/modeling_utils.py`: parameters are float32 unless `torch_dtype`
says otherwise.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from vramlint.facts.script import lift
from vramlint.facts.setting import Known, Origin, Setting, Unknown
from vramlint.facts.values import Instance, Items, is_scalar
from vramlint.frontends.base import Context, settled
from vramlint.frontends.dtypes import short_dtype

if TYPE_CHECKING:
    from vramlint.frontends.trace import Traced

_MODEL = re.compile(r"(UNet|Transformer|Autoencoder|ControlNet|VQModel|Adapter|Prior|MotionModel|DiT)\w*$")
_NAME_IT = "name the model with --set model=… or --launch"
_WAYS = {"from_pretrained", "from_config", "from_unet", "from_single_file"}


def is_ours(one: Traced) -> bool:
    """Return whether diffusers made a model."""
    made = one.base.value
    return isinstance(made, Instance) and _maker(made) is not None


def _maker(made: Instance) -> str | None:
    for name in made.names:
        head, _, rest = name.partition(".")
        if head == "diffusers" and _MODEL.search(_class_of(rest)) and "Pipeline" not in rest:
            return name
    return None


def _class_of(name: str) -> str:
    parts = name.split(".")
    return parts[-2] if parts[-1] in _WAYS and len(parts) > 1 else parts[-1]


def model_and_dtype(context: Context, one: Traced) -> tuple[Setting[Any], Setting[Any]]:
    """Return the model that one beginning stands for, and the dtype it is loaded in."""
    return _model(context, one), _dtype(context, one)


def _model(context: Context, one: Traced) -> Setting[Any]:
    made = one.base.value
    way = (_maker(made) or "").rpartition(".")[2]
    if way == "from_pretrained":
        name = settled(context.script.argument(made, "pretrained_model_name_or_path", 0), "model")
        if name is None:
            return Unknown(f"the call does not say which model; {_NAME_IT}", one.base.origin)
        return lift(name, _named) or Unknown(_NAME_IT, one.base.origin)
    if way in _WAYS:
        why = f"`{_class_of(_maker(made) or '')}.{way}` takes its sizes from another model"
        return Unknown(f"{why}; {_NAME_IT}", one.base.origin)
    return _with_sizes(context, made, one.base.origin)


def _named(known: Known[Any]) -> Setting[Any]:
    """Return the repository that a part is loaded from; which part it is, the role or the task tells."""
    if isinstance(known.value, str):
        return Known({"id": known.value}, known.origin)
    why = f"the model's name, {known.origin.detail}, is known only at run time"
    return Unknown(f"{why}; {_NAME_IT}", known.origin)


def _with_sizes(context: Context, made: Instance, origin: Origin) -> Setting[Any]:
    """Return a class with the sizes that its call gives."""
    config: dict[str, Any] = {"_class_name": _class_of(_maker(made) or "")}
    for keyword in made.call.keywords if made.call else ():
        if keyword.arg is None:
            return Unknown(
                f"the sizes of {config['_class_name']} are known only at run time; {_NAME_IT}", origin
            )
        value = _plain(context, context.script.argument(made, keyword.arg))
        if isinstance(value, Unknown):
            return Unknown(f"{keyword.arg}: {value.reason}", value.origin or origin)
        config[keyword.arg] = value
    return Known({"config": config}, origin)


def _plain(context: Context, setting: Setting[Any] | None) -> Any:
    if not isinstance(setting, Known):
        return setting if isinstance(setting, Unknown) else Unknown("the size differs between branches")
    if isinstance(setting.value, Items) and setting.value.gaps is None:
        parts = [_plain(context, context.script.evaluator.force(item)) for item in setting.value.items]
        return next((part for part in parts if isinstance(part, Unknown)), parts)
    if is_scalar(setting.value):
        return setting.value
    return Unknown(f"`{setting.origin.detail}` is known only at run time", setting.origin)


def _dtype(context: Context, one: Traced) -> Setting[Any]:
    given = context.script.argument(one.base.value, "torch_dtype")
    if given is None or (isinstance(given, Known) and given.value is None):
        return Known(
            "float32", Origin("framework-default", "diffusers loads in float32 unless torch_dtype says")
        )
    return lift(given, _named_dtype) or Unknown("the dtype is known only at run time")


def _named_dtype(known: Known[Any]) -> Setting[Any]:
    short = short_dtype(known.value)
    if short is None:
        return Unknown(f"the dtype `{known.origin.detail}` is known only at run time", known.origin)
    return Known(short, known.origin)
