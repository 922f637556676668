"""The estimate beside which the real memory is put: one run of `vramlint … --format json`."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

Estimate = Mapping[str, Any]


def run_of(given: object, number: int) -> Estimate | None:
    """Return the run of that number in a report, a run itself, or a file that holds one; None where none was given.

    `given` may be an object with a `document`, as the result of `%vramlint` is.

    Raises:
        TypeError: in one line, where it is none of these.
        ValueError: in one line, where the file is none or there is no such run.
    """
    if given is None:
        return None
    if isinstance(given, str | Path):
        given = _read(Path(given))
    document = getattr(given, "document", given)
    if not isinstance(document, Mapping):
        raise TypeError(
            f"{type(document).__name__} is no report: give what `vramlint check --format json` prints"
        )
    if "files" not in document:
        return document
    runs: list[Estimate] = [run for file in document["files"] for run in file["runs"]]
    if number >= len(runs):
        raise ValueError(f"run {number} was asked for, and the report has {len(runs)}, counted from 0")
    return runs[number]


def _read(path: Path) -> object:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ValueError(f"{path}: no report: {error}") from None


def phase_peak(run: Estimate | None, phase: str) -> int | None:
    """Return the estimated peak of a phase in bytes allocated."""
    phases = _memory(run).get("phases", {})
    return phases[phase]["peak"] if phase in phases else None


def figure(run: Estimate | None, name: str) -> int | None:
    """Return `allocated`, `reserved` or `device` in bytes."""
    return _memory(run).get(name)


def _memory(run: Estimate | None) -> Mapping[str, Any]:
    return (run or {}).get("memory") or {}
