"""Whether a setting is what a person read: labels are words of a person, settings have the plan's shape."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Literal

from vramlint.facts.setting import Known, OneOf, Unknown, alternatives

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from benchmarks.labels.rows import Label
    from vramlint.facts.setting import Setting
    from vramlint.plan.run import Run

Verdict = Literal["right", "unknown", "wrong"]
_SHORTEST_NAME = 3
_LIBRARY_DEFAULTS = {"hf_load_default", "auto"}


def verdict(label: Label, runs: Sequence[Run]) -> Verdict:
    """Return how the runs of a file stand to a label: one run that has the value is enough.

    What a launch line says counts as right too. Where only a run can tell, leaving it open is right.
    """
    settings = [run.settings[label.name] for run in runs if label.name in run.settings]
    expected = [*label.launched]
    if not (label.value is None and label.how in {"cli_only", "not_determinable"}):
        expected.append(label.value)
    if any(_matches(label, value, setting) for value in expected for setting in settings):
        return "right"
    if label.conditional and any(_matches(label, None, setting) for setting in settings):
        return "right"
    is_open = not settings or any(not isinstance(setting, Known) for setting in settings)
    if not expected and is_open:
        return "right"
    return "unknown" if is_open else "wrong"


def _matches(label: Label, value: Any, setting: Setting[Any]) -> bool:
    if isinstance(setting, Unknown):
        return False
    same = _COMPARED.get(label.name, _equal)
    if _is_default(label.name, value) and not isinstance(setting, OneOf):
        return setting.origin.kind in {"framework-default", "catalogue", "hub", "assumed"} or same(
            value, setting.value
        )
    return any(same(value, one) for one in alternatives(setting))


def _is_default(name: str, value: Any) -> bool:
    """Return whether a label leaves the value to the library, or says that nothing is said."""
    if name == "param_dtype":
        return value in _LIBRARY_DEFAULTS
    return name == "attention" and value in {None, "hf_attn_default", "auto"}


def _squashed(text: object) -> str:
    return re.sub(r"[^a-z0-9]", "", str(text).lower())


def _equal(label: Any, value: Any) -> bool:
    return str(label) == str(value) or (isinstance(label, list) and label == value)


def _model(label: Any, value: Any) -> bool:
    if isinstance(label, list):
        return any(_model(one, value) for one in label)
    if not isinstance(value, dict):
        return False
    config = value.get("config") or {}
    names = [value.get("id"), value.get("class"), config.get("_class_name"), config.get("model_type")]
    text = _squashed(label)
    tails = [
        _squashed(str(name).removesuffix("/unet").removesuffix("/transformer").rpartition("/")[2])
        for name in names
        if name
    ]
    first = _squashed(re.split(r"[(\s]", str(label))[0].rpartition("/")[2])
    return any(len(tail) >= _SHORTEST_NAME and (tail in text or (first and first in tail)) for tail in tails)


def _dtype(label: Any, value: Any) -> bool:
    names = {"bf16": "bfloat16", "fp16": "float16", "fp32": "float32"}
    return bool(names.get(str(label), str(label)) == value)


def _precision(label: Any, value: Any) -> bool:
    text = str(label).lower()
    if text.endswith("-true"):  # the parameters' own dtype, no autocast
        return value in {"no", "bf16"}
    meant = "bf16" if "bf" in text else "fp16" if "fp16" in text or "float16" in text else "no"
    return bool(value == meant)


def _optimizer(label: Any, value: Any) -> bool:
    name = value.get("name", "") if isinstance(value, dict) else ""
    said = [part.replace("hf_optim_default", "adamw_torch") for part in str(label).split(" / ")]
    return any(_family(re.split(r"[(\s]", one)[0]) == _family(name) for one in said)


def _family(name: str) -> str:
    short = _squashed(name.rpartition(".")[2])
    bits = "8bit" if "8bit" in _squashed(name) or name.startswith("bitsandbytes") else ""
    base = next(
        (one for one in ("adamw", "adafactor", "adam", "sgd", "rmsprop", "prodigy", "lion") if one in short),
        short,
    )
    return f"{'paged' if 'paged' in short else ''}{base}{bits}"


def _checkpointing(label: Any, value: Any) -> bool:
    return bool(label) == (value is not None and value is not False)


def _lora(label: Any, value: Any) -> bool:
    if label is None or value is None:
        return (label is None) == (value is None)
    rank = label.get("r") if isinstance(label, dict) else label
    targets = label.get("targets") if isinstance(label, dict) else None
    if str(rank) != str(value.get("r", 8)):
        return False
    own = value.get("target_modules")
    if not isinstance(targets, list) and targets in {None, "all"}:
        return True
    return own == targets or (
        isinstance(own, list) and isinstance(targets, list) and set(own) == set(targets)
    )


def _quantization(label: Any, value: Any) -> bool:
    if label is None or value is None:
        return (label is None) == (value is None)
    kinds = {"int8"} if "8" in str(label)[:1] else {"nf4", "fp4"}
    return bool(value.get("kind") in kinds)


def _sharding(label: Any, value: Any) -> bool:
    if label is None or value is None:
        return (label is None) == (value is None)
    text, kind = _squashed(label), value.get("kind", "")
    stage = re.search(r"zero(\d)", text)
    if stage is not None:
        return bool(kind == f"zero{stage[1]}")
    if text.startswith("tensorparallel"):
        return bool(value.get("tensor_parallel", 1) > 1)
    named = {"dataparallel": "dp", "ddp": "ddp", "fsdp": "fsdp"}
    return any(text.startswith(word) and kind.startswith(meant) for word, meant in named.items())


def _extra_models(label: Any, value: Any) -> bool:
    wanted = (
        [one for one in label or [] if "disabling adapters" not in str(one)]
        if isinstance(label, list)
        else [label]
    )
    return len(wanted) == len(value or [])


_COMPARED: Mapping[str, Callable[[Any, Any], bool]] = {
    "model": _model,
    "param_dtype": _dtype,
    "mixed_precision": _precision,
    "optimizer": _optimizer,
    "gradient_checkpointing": _checkpointing,
    "lora": _lora,
    "quantization": _quantization,
    "sharding": _sharding,
    "extra_models": _extra_models,
}
