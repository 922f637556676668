"""Puts the tensors of a micro batch on the tape."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vramlint.memory.families.base import Batch, InputSpec

if TYPE_CHECKING:
    from vramlint.memory.tape import Tape, Tensor


def make_batch(tape: Tape, specs: tuple[InputSpec, ...]) -> Batch:
    """Allocate a batch."""
    tensors: dict[str, Tensor] = {}
    for spec in specs:
        tensor = tape.empty(spec.shape, spec.dtype)
        tensors.update(dict.fromkeys(spec.names, tensor))
    return Batch(tensors)
