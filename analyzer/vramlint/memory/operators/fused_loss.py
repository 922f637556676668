"""Losses that never hold all logits at once: Liger's, tiled ones, and cut cross-entropy."""

from __future__ import annotations

from math import prod
from typing import TYPE_CHECKING

from vramlint.memory.dtypes import FLOAT32
from vramlint.memory.operators.matmul import autocast_half

if TYPE_CHECKING:
    from vramlint.memory.tape import Gradients, Node, Tensor

_TILE = 1024  # rows of one tile of a chunked loss; implementations use 128 to 4,096


def liger_rows(rows: int, vocabulary: int, width: int) -> int:
    """Return the rows of Liger's chunks: about as many logits at once as hidden numbers.

    liger_kernel/ops/fused_linear_cross_entropy.py: next_power_of_2(ceil(rows / ceil(V / D))).
    """
    chunk = -(-rows // -(-vocabulary // width))
    return 1 << (chunk - 1).bit_length()


def liger_loss(hidden: Tensor, weight: Tensor) -> Tensor:
    """Linear layer and cross-entropy in one: both gradients are made in the forward pass and saved."""
    hidden, weight = autocast_half(hidden), autocast_half(weight)
    tape, rows = hidden.tape, prod(hidden.shape[:-1])
    loss = tape.empty((), FLOAT32)
    saved = [tape.empty(hidden.shape, hidden.dtype)]
    product = None
    if weight.node is not None:
        saved.append(tape.empty(weight.shape, weight.dtype))
        product = tape.empty(weight.shape, weight.dtype)
    chunk = tape.empty((liger_rows(rows, *weight.shape), weight.shape[0]), hidden.dtype)
    del chunk, product
    return tape.record(loss, (hidden, weight), _hand_over, tuple(saved))


def _hand_over(node: Node, _: Gradients) -> Gradients:
    weight = node.saved[1] if len(node.saved) > 1 else None
    return (node.saved[0] if node.needs(0) else None, weight)


def tiled_loss(hidden: Tensor, weight: Tensor) -> Tensor:
    """A loss over tiles of rows that is computed again in backward: one tile of logits is alive at a time."""
    hidden, weight = autocast_half(hidden), autocast_half(weight)
    tape = hidden.tape
    tiles = _tile_of_logits(hidden, weight)
    loss = tape.empty((), FLOAT32)
    del tiles
    return tape.record(loss, (hidden, weight), _tiled_backward, (hidden, weight))


def _tile_of_logits(hidden: Tensor, weight: Tensor) -> list[Tensor]:
    shape = (min(_TILE, prod(hidden.shape[:-1])), weight.shape[0])
    tape = hidden.tape
    return [tape.empty(shape, hidden.dtype), tape.empty(shape, FLOAT32), tape.empty(shape, FLOAT32)]


def _tiled_backward(node: Node, grads: Gradients) -> Gradients:
    hidden, weight = node.saved
    results = _both_gradients(node, grads)
    tiles = [*_tile_of_logits(hidden, weight), *_tile_of_logits(hidden, weight)[1:]]
    del tiles
    return results


def cut_loss(hidden: Tensor, weight: Tensor) -> Tensor:
    """Cut cross-entropy: logits stay on chip; only the log-sum-exp of each row is kept."""
    hidden, weight = autocast_half(hidden), autocast_half(weight)
    logsumexp = hidden.tape.empty(hidden.shape[:-1], FLOAT32)
    loss = hidden.tape.empty((), FLOAT32)
    return hidden.tape.record(loss, (hidden, weight), _both_gradients, (hidden, weight, logsumexp))


def _both_gradients(node: Node, grads: Gradients) -> Gradients:
    loss = grads[0]
    assert loss is not None
    return [
        loss.tape.empty(shape, dtype) if source is not None else None
        for source, _, shape, dtype in node.inputs
    ]
