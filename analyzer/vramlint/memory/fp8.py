"""fp8 training: matrix products in fp8 on weights that stay in their own type.

torchao's Float8Linear casts input, weight and gradient for each product and saves them in their own type
(torchao/float8/float8_linear.py, matmul_with_hp_or_float8_args); its README measures the peak of Llama 3 8B within
0.3 % of bf16's. TransformerEngine saves the fp8 input of each linear layer instead of the half one, and keeps the
weights in fp8, and transposed on Hopper, beside the original (transformer_engine/pytorch/module/linear.py).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from vramlint.memory.compiled import floor_of
from vramlint.memory.estimate import Range

if TYPE_CHECKING:
    from vramlint.memory.arena import Arena
    from vramlint.memory.families.base import Model

# Percent of forward's and backward's memory that is left where all that linear layers save halves: about half of a
# decoder layer's saved bytes are inputs of linear layers (5 of 10 s·b·h units of 34, and the two of the MLP).
_LEAST = 75
_WEIGHT_COPIES = 2  # bytes per weight: fp8, and fp8 transposed
_MATRIX = 2
NOTE = (
    "fp8 training is estimated as its half-precision run, which torchao's measurements agree with; the low end has "
    "TransformerEngine's fp8 inputs of linear layers, the high end its two fp8 copies of their weights"
)


def fp8_range(figures: Range, arena: Arena, model: Model) -> Range:
    """Return the range of an fp8 run around that of its half-precision run."""
    floor = floor_of(arena)
    low = figures.low if figures.low <= floor else floor + (figures.low - floor) * _LEAST // 100
    copied = sum(
        parameter.numel * parameter.copies
        for parameter in model.parameters()
        if len(parameter.shape) == _MATRIX and not parameter.is_embedding
    )
    return Range(low, figures.expected, figures.high + _WEIGHT_COPIES * copied)
