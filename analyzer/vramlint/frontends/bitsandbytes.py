"""bitsandbytes: weights loaded in 4 or 8 bits by `from_pretrained`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from vramlint.facts.script import lift
from vramlint.facts.setting import Known, Setting, Unknown
from vramlint.facts.values import Instance, Symbol
from vramlint.frontends.trace import Traced, traced
from vramlint.frontends.transformers_models import DTYPES

if TYPE_CHECKING:
    from collections.abc import Mapping

    from vramlint.frontends.base import Context, Training


def settings(context: Context, training: Training) -> Mapping[str, Setting[Any]]:
    """Read `quantization_config=` and the old `load_in_4bit` and `load_in_8bit` of the trained model."""
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
    prepared = any(
        name.endswith(("prepare_model_for_kbit_training", "prepare_model_for_int8_training"))
        for step in one.through
        for name in step.names
    )
    given = context.script.argument(made, "quantization_config")
    if given is not None:
        return lift(given, lambda known: _config(context, known, prepared=prepared))
    return _switches(context, made, prepared=prepared)


def _config(context: Context, known: Known[Any], *, prepared: bool) -> Setting[Any] | None:
    made = known.value
    if made is None:
        return Known(None, known.origin)
    if not isinstance(made, Instance) or not any(name.endswith("BitsAndBytesConfig") for name in made.names):
        return Unknown(
            f"the quantization `{known.origin.detail}` is not read yet; name it with --set quantization=…",
            known.origin,
        )
    return _switches(context, made, prepared=prepared) or Known(None, known.origin)


def _switches(context: Context, made: Instance, *, prepared: bool) -> Setting[Any] | None:
    for field, bits in (("load_in_4bit", 4), ("load_in_8bit", 8)):
        given = context.script.argument(made, field)
        if isinstance(given, Known) and given.value:
            return Known(_spec(context, made, bits, prepared=prepared), given.origin)
        if given is not None and not isinstance(given, Known):
            return given
    return None


def _spec(context: Context, made: Instance, bits: int, *, prepared: bool) -> dict[str, Any]:
    """Return the plan's form; the defaults are those of BitsAndBytesConfig (fp4, float32, no double)."""
    spec: dict[str, Any] = {"kind": "int8", "prepared_for_kbit": prepared}
    if bits == 8:  # noqa: PLR2004  counts arguments or characters
        return spec
    kind = context.script.argument(made, "bnb_4bit_quant_type")
    double = context.script.argument(made, "bnb_4bit_use_double_quant")
    spec["kind"] = kind.value if isinstance(kind, Known) and isinstance(kind.value, str) else "fp4"
    spec["double"] = isinstance(double, Known) and double.value is True
    for field, key in (
        ("bnb_4bit_compute_dtype", "compute_dtype"),
        ("bnb_4bit_quant_storage", "storage_dtype"),
    ):
        given = context.script.argument(made, field)
        name = (
            given.value.name
            if isinstance(given, Known) and isinstance(given.value, Symbol)
            else getattr(given, "value", None)
        )
        short = str(name).removeprefix("torch.")
        if short in DTYPES or short == "uint8":
            spec[key] = DTYPES.get(short, short)
    return spec
