"""The rows of the benchmark: a plan document each, and the bytes that were measured for it."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

DATA = Path(__file__).parent.parent / "data"
STEPS = (
    "training_steps.jsonl", "oracle_decoders.jsonl", "oracle_encoders.jsonl", "oracle_vision.jsonl",
    "oracle_random.jsonl", "oracle_regimes.jsonl", "oracle_families2.jsonl", "oracle_diffusion.jsonl",
    "oracle_objectives.jsonl",
)  # fmt: skip
PUBLISHED = "published_measurements.jsonl"
GIB = 2**30
PHASE_ENDS = {"after-load": "load.end", "after-forward": "forward.end"}


@dataclass(frozen=True, slots=True)
class Row:
    """One measured run; `file` is where it is kept, `truth` maps the names of figures to bytes.

    `more_than` is set where the run died for want of memory: the device figure must exceed it. `parameters`
    were counted on the model that ran, adapters included. `gpu` is the name that the publisher gave, `confidence`
    how sure it is that the plan says what ran.
    """

    id: str
    family: str
    split: str
    plan: Mapping[str, Any]
    truth: Mapping[str, int]
    file: str
    more_than: int | None = None
    parameters: int | None = None
    gpu: str | None = None
    confidence: str | None = None


def training_steps(*files: str) -> tuple[Row, ...]:
    """Return the training steps that ran on fake CUDA tensors (see the README of the data), by default all."""
    return tuple(_training_step(record, name) for name in files or STEPS for record in _records(name))


def published_measurements() -> tuple[Row, ...]:
    """Return the published GPU measurements that a plan document can describe."""
    records = _records(PUBLISHED)
    return tuple(_published_measurement(record) for record in records if _is_comparable(record))


def _records(name: str) -> Iterator[dict[str, Any]]:
    with (DATA / name).open(encoding="utf-8") as lines:
        yield from map(json.loads, lines)


def _is_comparable(record: Mapping[str, Any]) -> bool:
    """A run that died on a GPU of unknown size says nothing."""
    return "plan" in record and (record["outcome"] == "ok" or record["gpu_mem_gib"] is not None)


def _training_step(record: Mapping[str, Any], file: str) -> Row:
    truth, plan = record["truth"], record["plan"]
    phases = truth["phases"]
    figures = {
        "allocated": truth["allocated_peak"],
        "load.end": phases["after_init"],
        "forward.peak": phases["fwd_max"],
        "forward.end": phases["fwd_end"],
        "backward.peak": phases["bwd_max"],
        "optimizer_step.peak": max(phases["opt_max"], phases.get("clip_max", 0)),
        "optimizer_step.end": phases["steady_end"],
    }
    family = _family(plan["model"])
    return Row(record["id"], family, record["split"], plan, figures, file, parameters=truth["params_total"])


def _published_measurement(record: Mapping[str, Any]) -> Row:
    plan = record["plan"]
    row = Row(
        record["id"],
        _family(plan["model"]),
        record["group"],
        plan,
        {},
        PUBLISHED,
        gpu=record["gpu"],
        confidence=record["plan_weight"],
    )
    if record["outcome"] == "oom":
        return replace(row, more_than=round(record["gpu_mem_gib"] * GIB))
    figure = PHASE_ENDS.get(record["compare"], record["compare"])
    return replace(row, truth={figure: record["compare_bytes"]})


def _family(model: Mapping[str, Any]) -> str:
    config = model.get("config") or {}
    return str(config.get("model_type") or config.get("_class_name") or model.get("id") or "unnamed")
