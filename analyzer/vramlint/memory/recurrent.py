"""cuDNN's reserve of recurrent layers: what it keeps for backward, whose size only cuDNN knows.

cudnnGetRNNTempSpaceSizes gives the size for a GPU and a version, and no formula for it is documented. What is counted
is the least that backward needs (gates and states of every step), and the range says how little that settles.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from vramlint.memory.arena import rounded
from vramlint.memory.estimate import Range

if TYPE_CHECKING:
    from vramlint.memory.arena import Arena
    from vramlint.memory.dtypes import DType
    from vramlint.memory.tape import Tape, Tensor

KIND = "cuDNN reserve"
NOTE = (
    "cuDNN alone knows how much its recurrent layers keep for backward: expected are the gates and states of every "
    "step, the range runs from none of it to twice as much"
)


def reserve_of(tape: Tape, shape: tuple[int, ...], dtype: DType) -> Tensor:
    """Return the reserve of one call, booked under its own kind."""
    arena = tape.arena
    before, arena.kind = arena.kind, KIND
    reserve = tape.empty(shape, dtype)
    arena.kind = before
    tape.doubts.add(KIND)
    return reserve


def recurrent_range(figures: Range, arena: Arena) -> Range:
    """Return figures, in bytes, widened by the largest reserve alive at the peak of a phase."""
    reserve = max(
        sum(rounded(key.bytes) * count for key, count in counts.items() if key.kind == KIND)
        for counts in arena.alive_at_peaks().values()
    )
    return Range(figures.low - reserve, figures.expected, figures.high + reserve)
