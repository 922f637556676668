"""What speech models share: convolutions over time."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vramlint.memory.modules import Module, Parameter, parameter_tensor
from vramlint.memory.operators.convolution import convolution

if TYPE_CHECKING:
    from vramlint.memory.tape import Tensor


class Conv1d(Module):
    """`nn.Conv1d`."""

    label = "convolution"

    def __init__(  # the arguments are nn.Conv1d's
        self,
        inputs: int,
        outputs: int,
        kernel: int,
        stride: int = 1,
        padding: int = 0,
        *,
        groups: int = 1,
        bias: bool = True,
    ) -> None:
        self.weight = Parameter(outputs, inputs // groups, kernel)
        if bias:
            self.bias = Parameter(outputs)
        self.stride, self.padding = stride, padding

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, T) to (B, out, T')."""
        bias = vars(self).get("bias")
        offset = None if bias is None else parameter_tensor(bias)
        return convolution(x, parameter_tensor(self.weight), offset, (self.stride,), (self.padding,), (1,))
