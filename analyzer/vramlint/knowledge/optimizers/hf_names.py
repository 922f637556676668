"""The `optim` strings of transformers' TrainingArguments and what the Trainer builds from them."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from vramlint.knowledge.optimizer import Variant


@dataclass(frozen=True, slots=True)
class TrainerOptimizer:
    """What one `optim` string means.

    `optimizer` is the dotted path of the class; `variant` what the Trainer passes to it, for the
    parameters that match `optim_target_modules` where there is a rank; `is_layerwise` is True where
    each parameter is stepped inside backward. `first_seen` and `last_seen` are the oldest and newest
    transformers release examined that has the string.
    """

    name: str
    optimizer: str
    variant: Variant
    is_layerwise: bool
    first_seen: str
    last_seen: str


def find(name: str) -> TrainerOptimizer | None:
    """Return what the string means, or None if it is no `optim` string; its case matters."""
    entry = _table().get(name)
    return None if entry is None else _read(name, entry)


def all_names() -> tuple[str, ...]:
    """Return every `optim` string, sorted."""
    return tuple(sorted(_table()))


def _read(name: str, entry: dict[str, Any]) -> TrainerOptimizer:
    first_seen, last_seen = entry["seen"]
    return TrainerOptimizer(
        name,
        entry["optimizer"],
        Variant(**entry.get("variant", {})),
        entry.get("layerwise", False),
        first_seen,
        last_seen,
    )


@cache
def _table() -> dict[str, dict[str, Any]]:
    text = Path(__file__).with_name("hf_names.json").read_text(encoding="utf-8")
    table: dict[str, dict[str, Any]] = json.loads(text)["names"]
    return table
