"""The moment of failure: where a run stops on a GPU that is too small for it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from vramlint.memory.estimate import Estimate
    from vramlint.memory.ledger import Phase


@dataclass(frozen=True, slots=True)
class Failure:
    """The phase and step (from 1; 0 while loading) of the first allocation that fails.

    `allocated` are the bytes that torch has handed out by then, about what the error message says.
    """

    phase: Phase
    step: int
    allocated: int


def first_failure(estimate: Estimate, room: int) -> Failure | None:
    """Return where a run stops that has `room` bytes of device memory, None if it does not.

    What stands outside of the tensors is taken as the estimate expects it: the context as it is, the
    allocator's reserve in proportion.
    """
    context = estimate.device.expected - estimate.reserved.expected
    available = max(0, room - context) * estimate.allocated.expected // max(1, estimate.reserved.expected)
    for moment in estimate.timeline:
        if moment.bytes > available:
            return Failure(moment.phase, moment.step, available)
    return None
