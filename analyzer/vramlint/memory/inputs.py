"""The tensors of a micro batch, by task."""

from __future__ import annotations

from dataclasses import dataclass

from vramlint.memory.dtypes import INT64, DType
from vramlint.memory.families.base import Batch
from vramlint.memory.tape import Dim, Tape, Tensor


@dataclass(frozen=True, slots=True)
class InputSpec:
    """One tensor of the batch: its shape and type, and the names the model takes it under."""

    names: tuple[str, ...]
    shape: tuple[int, ...]
    dtype: DType = INT64


def token_inputs(batch: int, length: int) -> tuple[InputSpec, ...]:
    """Token ids that are their own labels, of shape (B, T)."""
    return (InputSpec(("input_ids", "labels"), (Dim(batch, "B"), Dim(length, "T"))),)


def make_batch(tape: Tape, specs: tuple[InputSpec, ...]) -> Batch:
    """Allocate a batch."""
    tensors: dict[str, Tensor] = {}
    for spec in specs:
        tape.arena.label = "batch"
        tensor = tape.empty(spec.shape, spec.dtype)
        tensors.update(dict.fromkeys(spec.names, tensor))
    return Batch(tensors)
