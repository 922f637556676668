"""Settings hold plain data of the right kind; anything else that was read becomes an honest unknown."""

from __future__ import annotations

from typing import Any

from vramlint.facts.setting import Known, OneOf, Origin, Setting, Unknown

_COUNTS = {
    "micro_batch_size",
    "gradient_accumulation_steps",
    "sequence_length",
    "target_length",
    "num_labels",
}
_DTYPES = {"float32", "bfloat16", "float16", "float64", "float8_e4m3fn"}


def checked(key: str, setting: Setting[Any]) -> Setting[Any]:
    """Return a setting whose every value the plan can take, or the unknown that says why it cannot."""
    if isinstance(setting, Known):
        return _checked(key, setting)
    if isinstance(setting, OneOf):
        results = [_checked(key, known) for known in setting.alternatives]
        unknown = next((result for result in results if isinstance(result, Unknown)), None)
        return unknown or OneOf(tuple(one for one in results if isinstance(one, Known)), setting.reason)
    return setting


def _checked(key: str, known: Known[Any]) -> Known[Any] | Unknown:
    value, origin = known.value, known.origin
    if not _is_plain(value):
        return Unknown(f"`{origin.detail}` is known only at run time; {_name_it(key)}", origin)
    if key in _COUNTS and value is not None:
        return _count(key, value, origin)
    if key == "param_dtype" and value not in _DTYPES:
        return Unknown(f"the dtype {value!r} is not known here; {_name_it(key)}", origin)
    return known


def _count(key: str, value: object, origin: Origin) -> Known[Any] | Unknown:
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if isinstance(value, int) and not isinstance(value, bool) and value > 0:
        return Known(value, origin)
    return Unknown(f"{origin.detail}: {value!r} is decided at run time; {_name_it(key)}", origin)


def _name_it(key: str) -> str:
    return f"name it with --set {key}=…"


def _is_plain(value: object) -> bool:
    if isinstance(value, dict):
        return all(isinstance(name, str) and _is_plain(item) for name, item in value.items())
    if isinstance(value, list):
        return all(_is_plain(item) for item in value)
    return value is None or isinstance(value, bool | int | float | str)
