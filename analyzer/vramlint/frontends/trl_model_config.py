"""TRL's ModelConfig: what its helpers `get_peft_config` and `get_quantization_config` make of it.

Source: trl 1.16.0, `trainer/model_config.py` and `trainer/utils.py`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from vramlint.facts import attributes
from vramlint.facts.script import is_from
from vramlint.facts.setting import Known, Setting, Unknown
from vramlint.facts.values import Bound, Instance, Items
from vramlint.frontends.dtypes import short_dtype

if TYPE_CHECKING:
    from vramlint.frontends.base import Context


def is_helper(made: object, name: str) -> bool:
    """Return whether a value is what a helper of TRL returns."""
    return isinstance(made, Instance) and is_from(made.names, {"trl", "alignment"}, {name})


def adapters(context: Context, known: Known[Any]) -> Setting[Any]:
    """Return what `get_peft_config(model_args)` gives: adapters only with `--use_peft`."""
    use = _field(context, known.value, "use_peft")
    if not isinstance(use, Known):
        return use or Unknown(
            "whether --use_peft is set is not known; name it with --set lora=…", known.origin
        )
    if not use.value:
        return Known(None, use.origin)
    spec: dict[str, Any] = {"kind": "lora"}
    for switch, kind in (("use_dora", "dora"), ("use_rslora", "rslora")):
        if _plain(context, known.value, switch) is True:
            spec["kind"] = kind
    fields = {"r": "lora_r", "dropout": "lora_dropout", "target_modules": "lora_target_modules",
              "modules_to_save": "lora_modules_to_save"}  # fmt: skip
    for key, field in fields.items():
        value = _plain(context, known.value, field)
        if value is not None:
            spec[key] = _names(value) if key in {"target_modules", "modules_to_save"} else value
    return Known(spec, use.origin)


def quantization(context: Context, known: Known[Any]) -> Setting[Any]:
    """Return what `get_quantization_config(model_args)` gives: 4 bits go before 8."""
    off: Known[Any] | None = None
    for field, bits in (("load_in_4bit", 4), ("load_in_8bit", 8)):
        on = _field(context, known.value, field)
        if not isinstance(on, Known):
            return on or Unknown(f"whether --{field} is set is not known; name it with --set quantization=…")
        if on.value:
            return Known(_four_bits(context, known.value) if bits == 4 else {"kind": "int8"}, on.origin)  # noqa: PLR2004  the number of bits
        off = on
    return Known(None, off.origin if off else known.origin)


def _four_bits(context: Context, made: Any) -> dict[str, Any]:
    spec: dict[str, Any] = {"kind": _plain(context, made, "bnb_4bit_quant_type") or "nf4"}
    spec["double"] = _plain(context, made, "use_bnb_nested_quant") is True
    compute = short_dtype(_plain(context, made, "dtype") or _plain(context, made, "torch_dtype"))
    if compute not in {None, "auto"}:
        spec["compute_dtype"] = compute
    return spec


def _field(context: Context, made: Any, name: str) -> Setting[Any] | None:
    """Return a field of the ModelConfig that a helper is called with, None where the release has none."""
    assert isinstance(made, Instance)
    given = context.script.argument(made, "model_args", 0)
    if given is None or made.call is None:
        return None
    evaluator = context.script.evaluator
    node = made.call.args[0] if made.call.args else made.call
    found = evaluator.each(
        given,
        lambda value: attributes.attribute(evaluator, value, name, node, made.place, made.frame),  # type: ignore[arg-type]
    )
    if isinstance(found, Known) and isinstance(found.value, Bound):
        return None
    return found


def _plain(context: Context, made: Any, name: str) -> Any:
    found = _field(context, made, name)
    if not isinstance(found, Known):
        return None
    if isinstance(found.value, Items):
        parts = [context.script.evaluator.force(item) for item in found.value.items]
        return [part.value for part in parts if isinstance(part, Known)]
    return found.value


def _names(value: Any) -> Any:
    """Return the names of modules as PEFT takes them: one alone is a pattern, or "all-linear"."""
    if isinstance(value, str):
        return value if value == "all-linear" else value.split()
    return value
