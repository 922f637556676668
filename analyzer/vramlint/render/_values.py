"""A setting's value and its place, in the few words that a person reads."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from vramlint.facts.setting import Origin
    from vramlint.source.spans import Span


def value_text(name: str, value: Any) -> str:
    """Return the value of a setting, such as `AdamW, fused` or `r=8 on q_proj, v_proj`."""
    if hasattr(value, "model_dump"):
        value = value.model_dump(by_alias=True)
    if isinstance(value, Mapping):
        return _object_text(name, {key: inner for key, inner in value.items() if inner not in (None, (), [])})
    if isinstance(value, Sequence) and not isinstance(value, str):
        return ", ".join(value_text(name, item) for item in value) or "none"
    if value is None:
        return "none"
    return {True: "yes", False: "no"}.get(value, str(value)) if isinstance(value, bool) else str(value)


def _object_text(name: str, value: Mapping[str, Any]) -> str:
    for key in ("id", "class"):
        if isinstance(value.get(key), str):
            return str(value[key])
    if name == "model" and "parameters" in value:
        return f"{value['parameters']:,} parameters"
    if name == "model" and isinstance(value.get("config"), Mapping):
        return f"a config of type {value['config'].get('model_type', 'unknown')}"
    if name == "lora":
        return _lora_text(value)
    if name == "libraries":
        return ", ".join(f"{library} {version}" for library, version in value.items())
    title = next((str(value[key]) for key in ("name", "kind", "role") if key in value), "")
    rest = [
        _flag(key, inner) for key, inner in value.items() if key not in {"name", "kind", "role"} and inner
    ]
    return ", ".join(part for part in (title, *rest) if part) or "yes"


def _lora_text(value: Mapping[str, Any]) -> str:
    modules = value.get("target_modules", "PEFT's own choice of modules")
    where = modules if isinstance(modules, str) else ", ".join(str(module) for module in modules)
    return f"r={value.get('r', '?')} on {where}"


def _flag(key: str, value: Any) -> str:
    if value is True:
        return key
    if isinstance(value, Mapping):
        return f"{key} {value_text(key, value)}"
    return f"{key}={value}"


def place_text(span: Span) -> str:
    """Return `train.py:41`, or `notebook.ipynb cell 3:2` inside a notebook."""
    cell = "" if span.cell is None else f" cell {span.cell}"
    return f"{span.path}{cell}:{span.start.line}"


def short_place(span: Span, path: str) -> str:
    """Return `line 41` where the file is the one that is being told about, its place otherwise."""
    if span.path != path:
        return place_text(span)
    cell = "" if span.cell is None else f"cell {span.cell} "
    return f"{cell}line {span.start.line}"


def origin_text(origin: Origin, path: str) -> str:
    """Return where a value comes from: its place, and the words of its origin."""
    if origin.span is None:
        return origin.detail
    return f"{short_place(origin.span, path)}  {origin.detail}".rstrip()
