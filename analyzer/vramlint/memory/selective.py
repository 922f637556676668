"""Selective checkpointing: which outputs of a checkpointed layer are kept instead of being computed again.

torchtitan's policy "op" (parallelisms/parallelize_llama.py) keeps every second matrix product, and attention's
output; torch.utils.checkpoint.create_selective_checkpoint_contexts hands them out again in order.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from vramlint.memory.dtypes import DType
    from vramlint.memory.tape import Shape, Tape, Tensor

Operator = Literal["mm", "attention"]


class Selection:
    """The outputs that one run of a layer kept; its second run takes them back."""

    def __init__(self) -> None:
        self.kept: deque[Tensor] = deque()
        self.replays = False
        self._products = 0

    def replay(self) -> Selection:
        """Hand out what was kept from here on."""
        self.replays, self._products = True, 0
        return self

    def output(self, operator: Operator, make: Tensor) -> Tensor:
        """Return the output of an operator, and keep it if the policy wants to."""
        if operator == "mm":
            self._products += 1
            if self._products % 2 == 0:
                return make
        self.kept.append(make.detached())
        return make

    def again(self, operator: Operator) -> Tensor | None:
        """Return a kept output in place of the operator's, or None where it is to be computed again."""
        if operator == "mm":
            self._products += 1
            if self._products % 2 == 0:
                return None
        return self.kept.popleft()


def output_of(
    tape: Tape, operator: Operator, shape: Shape, dtype: DType, *, contiguous: bool = True
) -> Tensor:
    """Allocate an operator's output, unless a selection has it from the first run."""
    selection = tape.selection
    if selection is None:
        return tape.empty(shape, dtype, contiguous=contiguous)
    if not selection.replays:
        return selection.output(operator, tape.empty(shape, dtype, contiguous=contiguous))
    kept = selection.again(operator)
    return tape.empty(shape, dtype, contiguous=contiguous) if kept is None else kept
