"""Reading a plan document: one clear line for what is wrong, with the nearest valid key."""

from __future__ import annotations

import json
import re
from typing import Any, get_args, get_origin

from pydantic import BaseModel, ValidationError

from vramlint.plan.document import Plan
from vramlint.plan.names import did_you_mean

# What pydantic calls the sides of a union in the path of an error.
_SIDES = frozenset({"str", "int", "tuple", "constrained-int", "function-after"})
_LONGEST = 80  # characters of a value that an error message shows


class PlanError(ValueError):
    """A plan that cannot be used; the text is one line that names the key and the nearest valid one."""


def read_plan(data: object) -> Plan:
    """Return the plan that JSON data spell out.

    Raises:
        PlanError: for an unknown key, a value of the wrong kind, or a missing model.
    """
    if not isinstance(data, dict):
        raise PlanError(f"a plan is a JSON object, not {_kind(data)}")
    try:
        return Plan.model_validate(data)
    except ValidationError as error:
        raise PlanError(_line(error)) from None


def _line(error: ValidationError) -> str:
    problems = error.errors()
    # An unknown key explains a missing one: `modle` is both.
    first = next((one for one in problems if one["type"] == "extra_forbidden"), problems[0])
    keys = [str(part) for part in first["loc"]]
    path = ".".join(keys)
    if first["type"] == "extra_forbidden":
        return f"unknown key {keys[-1]!r} in {_where(keys[:-1])}{did_you_mean(keys[-1], _valid(keys[:-1]))}"
    if first["type"] == "missing":
        return f"the plan has no {path!r}"
    return f"{_shown(keys) or 'the plan'}: {_message(first['msg'])}, got {_json(first['input'])}"


def _shown(keys: list[str]) -> str:
    """Return the path of a value without the names that pydantic gives the sides of a union."""
    return ".".join(key for key in keys if key.replace("_", "").isalnum() and key not in _SIDES)


def _json(value: object) -> str:
    text = json.dumps(value, ensure_ascii=False, default=str)
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}…"


def _where(keys: list[str]) -> str:
    return f"{'.'.join(keys)} of the plan" if keys else "the plan"


def _valid(keys: list[str]) -> tuple[str, ...]:
    """Return the keys that are valid inside a part of the plan."""
    model: type[BaseModel] = Plan
    for key in keys:
        field = model.model_fields.get(key)
        inner = None if field is None else _part(field.annotation)
        model = inner or model
    return tuple(field.alias or name for name, field in model.model_fields.items())


def _part(annotation: Any) -> type[BaseModel] | None:
    """Return the model class inside an annotation such as `tuple[ExtraModel, ...] | None`."""
    if isinstance(annotation, type) and get_origin(annotation) is None and issubclass(annotation, BaseModel):
        return annotation
    return next((found for inner in get_args(annotation) if (found := _part(inner)) is not None), None)


def _message(text: str) -> str:
    """Return what pydantic says, in JSON's words."""
    said = text.removeprefix("Value error, ").removeprefix("Input ")
    said = re.sub(r"a valid dictionary or instance of \w+|a valid dictionary", "an object", said)
    return said.replace("a valid tuple", "a list").replace("a valid string", "a text")[:200]


def _kind(data: object) -> str:
    return {list: "a list", str: "a text", int: "a number", float: "a number", type(None): "null"}.get(
        type(data), "this"
    )
