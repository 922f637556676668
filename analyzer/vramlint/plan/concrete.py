"""From a run's settings to plans the engine can take: the expected one, and those that span the range."""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import product
from typing import TYPE_CHECKING, Any

from vramlint.facts.setting import Known, OneOf, Setting, Unknown
from vramlint.plan.document import Plan
from vramlint.plan.read import PlanError, read_plan

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from vramlint.plan.run import Run

MOST_COMBINATIONS = 16
# Without these there is no figure at all.
_NECESSARY = (
    "model",
    "optimizer",
    "micro_batch_size",
    "sequence_length",
    "lora",
    "quantization",
    "sharding",
    "frozen",
    "extra_models",
    "image_size",
    "task",
    "mode",
)
# What an unknown switch may be: the values that span the range, the likeliest first.
_SPANS: Mapping[str, tuple[Any, ...]] = {
    "param_dtype": ("float32", "bfloat16"),
    "mixed_precision": ("no", "bf16"),
    "gradient_checkpointing": (None, {}),
    "gradient_accumulation_steps": (1, 2),
    "attention": ("sdpa", "eager"),
    "loss": ("default",),
    "compile": (False,),
}


@dataclass(frozen=True, slots=True)
class Concrete:
    """The plans of a run, the expected one first.

    `why_not` is set, and `plans` empty, where a necessary setting is unknown. `deciding` gives for
    each further plan the names of the settings in which it differs from the expected one.
    """

    plans: tuple[Plan, ...]
    why_not: str | None = None
    deciding: Mapping[int, tuple[str, ...]] = field(default_factory=dict)


def concrete(run: Run) -> Concrete:
    """Return the plans that a run may amount to, at most 16 of them."""
    choices: dict[str, tuple[Any, ...]] = {}
    model = run.settings.get("model")
    is_class = isinstance(model, Known) and model.value.keys() in ({"class"}, {"id", "class"})
    if isinstance(model, OneOf) and all("class" in one.value for one in model.alternatives):
        return Concrete((), f"model: {model.reason}")
    if run.construction is None and isinstance(model, Known) and is_class:
        # What else is open would not help: nothing is known of the model.
        name = model.value["class"]
        return Concrete((), f"model: the class `{name}` is not walked yet; name a model with --set model=…")
    for key in Plan.model_fields:
        setting = run.settings.get(key)
        if setting is None:
            continue
        values = _values(key, setting)
        if values is None:
            assert isinstance(setting, Unknown)
            return Concrete((), f"{key}: {setting.reason}")
        if values:
            choices[key] = values
    return _plans(choices)


def _values(key: str, setting: Setting[Any]) -> tuple[Any, ...] | None:
    """Return the values of a setting, the expected one first; nothing to leave it out, None to give up."""
    if isinstance(setting, Known):
        return (setting.value,)
    if isinstance(setting, OneOf):
        return tuple(known.value for known in setting.alternatives)
    if setting.bounds is not None:
        low, expected, high = setting.bounds
        return tuple(dict.fromkeys((expected, high, low)))
    if key in _SPANS:
        return _SPANS[key]
    return None if key in _NECESSARY else ()


def _plans(choices: Mapping[str, tuple[Any, ...]]) -> Concrete:
    plans: list[Plan] = []
    deciding: dict[int, tuple[str, ...]] = {}
    for values in _combinations(choices):
        try:
            plan = read_plan(
                {key: value for key, value in values.items() if value is not None or key in _NULLABLE}
            )
        except PlanError as error:
            return Concrete((), f"the settings do not make a plan: {error}")
        if plan in plans:
            continue
        if plans:
            deciding[len(plans)] = tuple(key for key, value in values.items() if value != choices[key][0])
        plans.append(plan)
    return Concrete(tuple(plans), None, deciding)


# Keys for which null is a statement of its own: no optimizer step, no checkpointing, and so on.
_NULLABLE = {"optimizer", "gradient_checkpointing", "lora", "quantization", "sharding", "generation"}


def _combinations(choices: Mapping[str, tuple[Any, ...]]) -> Iterator[dict[str, Any]]:
    """Return the expected values, each single change of them, then all changes together, up to the limit."""
    expected = {key: values[0] for key, values in choices.items()}
    yield expected
    open_keys = [key for key, values in choices.items() if len(values) > 1]
    combined = product(*(choices[key] for key in open_keys))
    everything = [
        dict(zip(open_keys, values, strict=True)) for values in _first(combined, 4 * MOST_COMBINATIONS)
    ]
    if len(everything) > MOST_COMBINATIONS:
        single = [{key: value} for key in open_keys for value in choices[key][1:]]
        last = [{key: choices[key][-1] for key in open_keys}, {key: choices[key][1] for key in open_keys}]
        everything = [{}, *single[: MOST_COMBINATIONS - 3], *last]
    for change in everything[1:]:
        yield {**expected, **change}


def _first(values: Iterator[tuple[Any, ...]], count: int) -> list[tuple[Any, ...]]:
    return [value for value, _ in zip(values, range(count), strict=False)]
