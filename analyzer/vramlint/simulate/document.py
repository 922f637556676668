"""A simulation as one JSON object; all memory is in bytes."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from vramlint.simulate.page import short

if TYPE_CHECKING:
    from vramlint.memory.estimate import Estimate
    from vramlint.simulate.compare import Comparison, Difference
    from vramlint.simulate.result import Simulation, Tensors

_TENSORS = 50


def document(
    simulation: Simulation, estimate: Estimate | None, comparison: Comparison | None
) -> dict[str, Any]:
    """Return the object of one run."""
    return {
        "memory": {
            "allocated": simulation.peak,
            "phase": simulation.phase,
            "step": simulation.step,
            "phases": {
                name: {"peak": phase.peak, "end": phase.end} for name, phase in simulation.phases.items()
            },
            "groups": dict(simulation.phases[simulation.phase].groups),
            "tensors": [_tensors(tensors) for tensors in simulation.tensors[:_TENSORS]],
        },
        "parameters": simulation.parameters,
        "trainable_parameters": simulation.trainable_parameters,
        "steps": simulation.steps,
        "seconds": round(simulation.seconds, 3),
        "device": simulation.device,
        "libraries": dict(simulation.libraries),
        "notes": list(simulation.notes),
        "estimate": None
        if estimate is None
        else {"allocated": estimate.allocated.expected, "phase": estimate.phase},
        "differences": None if comparison is None else _differences(comparison),
    }


def _differences(comparison: Comparison) -> dict[str, Any]:
    return {
        "phase": comparison.phase,
        "groups": [_difference(row) for row in comparison.groups],
        "phases": [_difference(row) for row in comparison.phases],
    }


def _difference(row: Difference) -> dict[str, Any]:
    return {**asdict(row), "difference": row.bytes}


def _tensors(tensors: Tensors) -> dict[str, Any]:
    return {**asdict(tensors), "shape": list(tensors.shape), "line": short(tensors.line)}
