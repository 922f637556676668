"""Weights loaded in fewer bits by `from_pretrained`: bitsandbytes, GPTQ, AWQ, MXFP4 and their kin.

Source: transformers 5.23, `utils/quantization_config.py` and `quantizers/`.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from vramlint.facts.script import lift
from vramlint.facts.setting import Known, Origin, Setting, Unknown
from vramlint.facts.values import Instance, Record
from vramlint.frontends import trl_model_config
from vramlint.frontends.dtypes import short_dtype
from vramlint.frontends.trace import Traced, traced

if TYPE_CHECKING:
    from collections.abc import Mapping

    from vramlint.facts.names import Call
    from vramlint.frontends.base import Context, Training

_PREPARES = ("prepare_model_for_kbit_training", "prepare_model_for_int8_training")
# Configs that say by their class what the weights are.
_CLASSES = {
    "GPTQConfig": "gptq",
    "AwqConfig": "awq",
    "FineGrainedFP8Config": "fp8",
    "FbgemmFp8Config": "fp8",
    "TorchAoConfig": "torchao",
    "HqqConfig": "hqq",
    "EetqConfig": "int8",
    "QuantoConfig": "quanto",
    "AqlmConfig": "aqlm",
    "Mxfp4Config": "mxfp4",
}
_IN_NAMES = re.compile(r"[-_](AWQ|GPTQ|bnb-4bit)\b", re.IGNORECASE)
_NAME_IT = "name it with --set quantization=…"


def settings(context: Context, training: Training) -> Mapping[str, Setting[Any]]:
    """Read `quantization_config=` and the old `load_in_4bit` and `load_in_8bit` of the trained model."""
    if "quantization" in training.settings:
        return {}
    values: list[Setting[Any]] = []
    for one in traced(context.script, training.model):
        if isinstance(one.base.value, Instance) and one.base.value.call is not None:
            found = _of(context, one)
            if found is not None:
                values.append(found)
    if not values:
        return {}
    return {"quantization": context.script.evaluator.joined(values, "quantization differs between branches")}


def _of(context: Context, one: Traced) -> Setting[Any] | None:
    made = one.base.value
    prepared = _is_prepared(context, one)
    given = context.script.argument(made, "quantization_config")
    if given is not None and not isinstance(given, Known):
        given = _by_helper(context) or given
    if given is not None and not (isinstance(given, Known) and given.value is None):
        return lift(given, lambda known: config(context, known, prepared=prepared))
    found = _switches(context, made, prepared=prepared) or _by_name(context, made)
    return found if found is not None or given is None else lift(given, lambda known: config(context, known))


def is_loaded_in_fewer_bits(context: Context, made: Instance) -> bool:
    """Return whether a `from_pretrained` surely asks bitsandbytes for 4 or 8 bits."""
    given = context.script.argument(made, "quantization_config")
    inner = given.value if isinstance(given, Known) else None
    if isinstance(inner, Instance) and not any(name.endswith("BitsAndBytesConfig") for name in inner.names):
        return False
    asked = inner if isinstance(inner, Instance) else made
    return isinstance(_switches(context, asked, prepared=False), Known)


def _by_name(context: Context, made: Instance) -> Setting[Any] | None:
    """Return the quantization that a checkpoint is stored in, as its name says: `…-AWQ`, `…-GPTQ-Int4`."""
    name = context.script.argument(made, "pretrained_model_name_or_path", 0)
    if not (isinstance(name, Known) and isinstance(name.value, str)):
        return None
    found = _IN_NAMES.search(name.value)
    if found is None:
        return None
    kind = found[1].lower().replace("bnb-4bit", "nf4")
    return Known(
        {"kind": kind}, Origin(name.origin.kind, f"the name {name.value!r} says so", name.origin.span)
    )


def _by_helper(context: Context) -> Setting[Any] | None:
    """Return what `get_quantization_config(model_args)` makes, which scripts pass on only if it is not None."""
    for call in context.script.calls("get_quantization_config"):
        for one in traced(context.script, context.script.made(call)):
            if trl_model_config.is_helper(one.base.value, "get_quantization_config"):
                return one.base
    return None


def _is_prepared(context: Context, one: Traced) -> bool:
    """Return whether the model passed through PEFT's preparation, in whichever of its names it is trained."""
    if any(name.endswith(_PREPARES) for step in one.through for name in step.names):
        return True
    return any(
        one.key == other.key
        for call in context.script.calls(*_PREPARES)
        for other in traced(context.script, context.script.argument(call, "model", 0))
    )


def config(  # noqa: PLR0911  one early return for each kind of value
    context: Context, known: Known[Any], *, prepared: bool = False
) -> Setting[Any] | None:
    """Return a quantization config as the plan writes it; null where it quantizes nothing."""
    made = known.value
    if made is None:
        return Known(None, known.origin)
    if trl_model_config.is_helper(made, "get_quantization_config"):
        return _with_preparation(trl_model_config.quantization(context, known), prepared=prepared)
    if isinstance(made, Record):
        return _from_record(context, known, prepared=prepared)
    last = {name.rpartition(".")[2] for name in made.names} if isinstance(made, Instance) else set()
    if "BitsAndBytesConfig" in last:
        return _switches(context, made, prepared=prepared) or Known(None, known.origin)
    kind = next((_CLASSES[name] for name in sorted(last) if name in _CLASSES), None)
    if kind is None:
        return Unknown(
            f"the quantization `{known.origin.detail}` is known only at run time; {_NAME_IT}", known.origin
        )
    dequantized = context.script.argument(made, "dequantize")
    if isinstance(dequantized, Known) and dequantized.value is True:
        return Known(None, dequantized.origin)
    return Known({"kind": kind, "prepared_for_kbit": prepared}, known.origin)


def _with_preparation(setting: Setting[Any], *, prepared: bool) -> Setting[Any]:
    if not (isinstance(setting, Known) and isinstance(setting.value, dict)):
        return setting
    return Known({**setting.value, "prepared_for_kbit": prepared}, setting.origin)


def _from_record(context: Context, known: Known[Any], *, prepared: bool) -> Setting[Any]:
    """Return what a plain dict says: `{"load_in_4bit": True, "bnb_4bit_quant_type": "nf4"}`."""
    force = context.script.evaluator.force
    fields = {key: force(value) for key, value in known.value.items.items() if isinstance(key, str)}
    on = {key for key, value in fields.items() if isinstance(value, Known) and value.value is True}
    if not on & {"load_in_4bit", "load_in_8bit"}:
        return Unknown(f"the quantization `{known.origin.detail}` is not followed; {_NAME_IT}", known.origin)
    spec = _described(fields.get, 4 if "load_in_4bit" in on else 8, prepared=prepared)
    return Known(spec, known.origin)


def _switches(context: Context, made: Instance, *, prepared: bool) -> Setting[Any] | None:
    """Return what the switches say: a `load_in_8bit=False` beside `load_in_4bit=True` counts for nothing."""
    for field, bits in (("load_in_4bit", 4), ("load_in_8bit", 8)):
        given = context.script.argument(made, field)
        if given is None:
            continue
        if not isinstance(given, Known):
            return (
                given
                if isinstance(given, Unknown)
                else _either(context, made, given, bits, prepared=prepared)
            )
        if not isinstance(given.value, bool | int | None):
            return Unknown(f"`{given.origin.detail}` is known only at run time; {_NAME_IT}", given.origin)
        if given.value:
            return Known(_spec(context, made, bits, prepared=prepared), given.origin)
    return None


def _either(
    context: Context, made: Instance, given: Setting[Any], bits: int, *, prepared: bool
) -> Setting[Any] | None:
    spec = _spec(context, made, bits, prepared=prepared)
    return lift(given, lambda known: Known(spec if known.value else None, known.origin))


def _spec(context: Context, made: Instance | Call, bits: int, *, prepared: bool) -> dict[str, Any]:
    return _described(lambda field: context.script.argument(made, field), bits, prepared=prepared)


def _described(read: Any, bits: int, *, prepared: bool) -> dict[str, Any]:
    """Return the plan's form; the defaults are those of BitsAndBytesConfig (fp4, float32, no double)."""
    spec: dict[str, Any] = {"kind": "int8", "prepared_for_kbit": prepared}
    if bits == 8:  # noqa: PLR2004  the number of bits
        return spec
    kind, double = read("bnb_4bit_quant_type"), read("bnb_4bit_use_double_quant")
    spec["kind"] = kind.value if isinstance(kind, Known) and isinstance(kind.value, str) else "fp4"
    spec["double"] = isinstance(double, Known) and double.value is True
    for field, key in (
        ("bnb_4bit_compute_dtype", "compute_dtype"),
        ("bnb_4bit_quant_storage", "storage_dtype"),
    ):
        given = read(field)
        value = given.value if isinstance(given, Known) else None
        named = getattr(value, "name", value)
        short = "uint8" if named in {"torch.uint8", "uint8"} else short_dtype(value)
        if short not in {None, "auto"}:
            spec[key] = short
    return spec
