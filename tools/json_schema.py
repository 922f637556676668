"""Write docs/schema/: JSON Schema of the report that `--format json` prints, and of the plan document."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from vramlint.plan.document import Plan
from vramlint.plan.names import REPORTED
from vramlint.wording import PHASES

FOLDER = Path(__file__).parent.parent / "docs" / "schema"
_DIALECT = "https://json-schema.org/draft/2020-12/schema"
_TEXT: dict[str, Any] = {"type": "string"}
_COUNT: dict[str, Any] = {"type": "integer", "minimum": 0}
_BYTES: dict[str, Any] = {"type": "integer", "minimum": 0, "description": "bytes"}
_ORIGINS = (
    "source", "config", "launch", "argument-default", "framework-default", "assumed",
    "plan", "override", "pragma", "catalogue", "hub", "measured",
)  # fmt: skip
_GROUPS = (
    "weights", "gradients", "optimizer", "activations", "loss", "temporaries", "inputs", "extra-models", "runtime",
)  # fmt: skip


def report() -> dict[str, Any]:
    """Return the schema of `vramlint check --format json`."""
    files = {"path": _TEXT, "runs": _list(_ref("run")), "findings": _list(_ref("finding"))}
    whole = {
        "version": {"const": 1},
        "tool": _object({"name": {"const": "vramlint"}, "version": _TEXT}),
        "errors": _list(_object({"message": _TEXT})),
        "files": _list(_object(files)),
    }
    return {
        "$schema": _DIALECT,
        "title": "vramlint report, version 1",
        "description": "Lines count from 1, columns from 0 in code points; all memory is in bytes.",
        **_object(whole),
        "$defs": _definitions(),
    }


def plan() -> dict[str, Any]:
    """Return the schema of a plan document, out of the model that reads it."""
    return {"$schema": _DIALECT, **Plan.model_json_schema(by_alias=True)}


def texts() -> dict[str, str]:
    """Return the files of the folder by name."""
    schemas = {"report.json": report(), "plan.json": plan()}
    return {name: json.dumps(schema, indent=2, ensure_ascii=False) + "\n" for name, schema in schemas.items()}


def _definitions() -> dict[str, Any]:
    position = _object({"line": {"type": "integer", "minimum": 1}, "column": _COUNT})
    place = {"path": _TEXT, "cell": _or_null(_COUNT), "start": _ref("position"), "end": _ref("position")}
    return {
        "position": position,
        "origin": _object(
            {
                "kind": {"enum": list(_ORIGINS)},
                "path": _or_null(_TEXT),
                "cell": _or_null(_COUNT),
                "line": _or_null(_COUNT),
                "column": _or_null(_COUNT),
                "detail": _TEXT,
            }
        ),
        "setting": _object(
            {
                "status": {"enum": ["known", "one-of", "unknown"]},
                "value": {},
                "values": {"type": "array"},
                "reason": _or_null(_TEXT),
                "origin": _or_null(_ref("origin")),
            }
        ),
        "finding": _finding(place),
        "run": _run(),
        "memory": _memory(),
    }


def _finding(place: dict[str, Any]) -> dict[str, Any]:
    fix = {
        "title": _TEXT,
        "saving": {"type": "integer", "description": "bytes of the allocated peak"},
        "safety": {"enum": ["safe", "unsafe", "display"]},
        "edits": _list(_object({**place, "text": _TEXT})),
    }
    return _object(
        {
            "rule": _TEXT,
            "severity": {"enum": ["error", "warning", "info", "hint"]},
            "confidence": {"enum": ["high", "medium", "low"]},
            "message": _TEXT,
            **place,
            "related": _list(_object({"message": _TEXT, **place})),
            "fixes": _list(_object(fix)),
            "run": _or_null(_COUNT),
        }
    )


def _run() -> dict[str, Any]:
    launch = {"path": _or_null(_TEXT), "cell": _or_null(_COUNT), "line": _or_null(_COUNT), "command": _TEXT}
    settings = {
        "type": "object",
        "required": list(REPORTED),
        "additionalProperties": _ref("setting"),
    }
    gpu = {"name": _TEXT, "bytes": _BYTES, "fits": {"enum": ["yes", "no", "maybe", "unknown"]}}
    return _object(
        {
            "kind": _TEXT,
            "frameworks": _list(_TEXT),
            "path": _TEXT,
            "cell": _or_null(_COUNT),
            "line": _COUNT,
            "launch": _or_null(_object(launch)),
            "settings": settings,
            "memory": _or_null(_ref("memory")),
            "reason": _or_null(_TEXT),
            "gpu": _or_null(_object(gpu)),
        }
    )


def _memory() -> dict[str, Any]:
    phase = {"enum": list(PHASES)}
    ends = {"type": "array", "items": _BYTES, "minItems": 2, "maxItems": 2}
    moment = {"t": _COUNT, "phase": phase, "bytes": _BYTES, "label": _TEXT}
    term = {
        "name": _TEXT,
        "group": {"enum": list(_GROUPS)},
        "bytes": _BYTES,
        "formula": _TEXT,
        "at_peak": {"type": "boolean"},
        "phases": _list(phase),
        "citation": _TEXT,
        "origin": _list(_ref("origin")),
    }
    return _object(
        {
            "peak": _object({"low": _BYTES, "expected": _BYTES, "high": _BYTES}),
            "phase": phase,
            "allocated": _BYTES,
            "reserved": _BYTES,
            "device": _BYTES,
            "range": _object({"allocated": ends, "reserved": ends, "device": ends}),
            "phases": {
                "type": "object",
                "propertyNames": phase,
                "additionalProperties": _object({"peak": _BYTES, "end": _BYTES}),
            },
            "terms": _list(_object(term)),
            "timeline": _or_null(_list(_object(moment))),
            "parameters": _COUNT,
            "trainable_parameters": _COUNT,
            "assumptions": _list(_TEXT),
        }
    )


def _object(properties: dict[str, Any]) -> dict[str, Any]:
    """Return an object that has exactly these keys."""
    return {
        "type": "object",
        "properties": properties,
        "required": list(properties),
        "additionalProperties": False,
    }


def _list(items: dict[str, Any]) -> dict[str, Any]:
    return {"type": "array", "items": items}


def _or_null(schema: dict[str, Any]) -> dict[str, Any]:
    return {"anyOf": [schema, {"type": "null"}]}


def _ref(name: str) -> dict[str, Any]:
    return {"$ref": f"#/$defs/{name}"}


if __name__ == "__main__":
    FOLDER.mkdir(exist_ok=True)
    for name, text in texts().items():
        (FOLDER / name).write_text(text, encoding="utf-8")
