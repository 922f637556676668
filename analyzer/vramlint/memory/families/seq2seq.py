"""What encoder-decoder models share: the cache of both attentions, shifted labels, and the batch.

transformers 5.23, cache_utils.py (EncoderDecoderCache) and the models' own shift functions.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from vramlint.memory.dtypes import BOOL, INT64
from vramlint.memory.families.base import InputSpec, Regime, Sizes
from vramlint.memory.modules import Module, Stack
from vramlint.memory.tape import Dim, Tensor

if TYPE_CHECKING:
    from collections.abc import Callable

    from vramlint.memory.families.layers import KeyValueCache


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What all layers of a stack are given beside their input; a decoder's layers get the encoder's output."""

    regime: Regime
    mask: Tensor | None = None
    bias: Tensor | None = None
    encoded: Tensor | None = None
    cross_mask: Tensor | None = None
    cross_bias: Tensor | None = None
    cache: KeyValueCache | None = None


def shared_stack(count: int, make: Callable[[int], Module]) -> Stack:
    """Return a stack whose layers add to the gradient of one tensor.

    The last layer is walked on its own: it is the first in backward, where the sum is not there yet.
    """
    return Stack(count, make, [index == count - 1 for index in range(count)])


def seq2seq_inputs(sizes: Sizes) -> tuple[InputSpec, ...]:
    """Return a batch of token ids (B, S) and labels (B, T)."""
    rows = Dim(sizes.rows, "B")
    target = Dim(sizes.target_length or sizes.length, "T")
    return (InputSpec(("input_ids",), (rows, Dim(sizes.length, "S"))), InputSpec(("labels",), (rows, target)))


def shifted_right(labels: Tensor) -> Tensor:
    """Return the decoder's token ids: the labels one place to the right, with padding for what is ignored."""
    shifted = labels.tape.empty(labels.shape, INT64)
    copied = labels.tape.empty((labels.shape[0], labels.shape[1] - 1), INT64)
    del copied
    ignored = labels.tape.empty(labels.shape, BOOL)
    del ignored
    return shifted
