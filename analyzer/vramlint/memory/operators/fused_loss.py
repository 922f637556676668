"""Losses that never hold all logits at once: Liger's, tiled ones, and cut cross-entropy."""

from __future__ import annotations

from math import prod
from typing import TYPE_CHECKING

from vramlint.memory.dtypes import FLOAT32, DType
from vramlint.memory.operators.elementwise import cast
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
    """Linear layer and cross-entropy in one: both gradients are made in the forward pass and saved.

    As of 0.8.5 on GPUs since Ampere: products in half precision are added to the weight's gradient in place, in
    fp32 they are made first. Autocast casts the weight twice: transposed in each chunk, and once for all as it is.
    """
    tape, rows = hidden.tape, prod(hidden.shape[:-1])
    saved = [tape.empty(hidden.shape, hidden.dtype)]
    if weight.node is not None:
        saved.append(tape.empty(weight.shape, weight.dtype))
    losses = tape.empty((rows,), FLOAT32)
    with tape.no_grad():
        scratch = _chunk_of_liger(hidden, weight, liger_rows(rows, *weight.shape))
    del scratch
    loss = tape.empty((), FLOAT32)
    del losses
    return tape.record(loss, (hidden, weight), _hand_over, tuple(saved))


def _chunk_of_liger(hidden: Tensor, weight: Tensor, rows: int) -> list[Tensor]:
    tape, dtype = hidden.tape, _product_dtype(hidden)
    vocabulary, width = weight.shape
    if weight.dtype is not dtype:
        half = autocast_half(weight)
        transposed, part = tape.empty(weight.shape, dtype), tape.empty((rows, width), dtype)
        return [half, transposed, part, tape.empty((rows, vocabulary), dtype)]
    logits = [tape.empty((rows, vocabulary), dtype)]
    if weight.node is not None and not dtype.is_half:
        logits.append(tape.empty(weight.shape, dtype))
    return logits


def _product_dtype(x: Tensor) -> DType:
    """Return the type that a product of x has."""
    return x.tape.autocast or x.dtype


def _hand_over(node: Node, _: Gradients) -> Gradients:
    weight = node.saved[1] if len(node.saved) > 1 else None
    return (node.saved[0] if node.needs(0) else None, weight)


def tiled_loss(hidden: Tensor, weight: Tensor) -> Tensor:
    """A loss over tiles of rows that is computed again in backward: one tile of logits is alive at a time."""
    tape, dtype = hidden.tape, _product_dtype(hidden)
    loss = tape.empty((), FLOAT32)
    with tape.no_grad():
        half = autocast_half(weight)
    tile = _tile_of_logits(hidden, weight, dtype)
    del tile, half
    return tape.record(loss, (hidden, weight), _tiled_backward, (hidden, weight), dtype)


def _tile_of_logits(hidden: Tensor, weight: Tensor, dtype: DType) -> list[Tensor]:
    """Return the log-softmax of a tile, which is saved, and what it is made from: the logits, and these in fp32."""
    tape, shape = hidden.tape, (min(_TILE, prod(hidden.shape[:-1])), weight.shape[0])
    logits = [tape.empty(shape, dtype)]
    if dtype is not FLOAT32:
        logits.append(tape.empty(shape, FLOAT32))
    return [tape.empty(shape, FLOAT32), *logits]


def _tiled_backward(node: Node, _grads: Gradients) -> Gradients:
    """Go back through the tiles; from the second on, each is added to what the others gave.

    All tiles share autocast's copy of the weight, so its gradient is summed in half precision.
    """
    hidden, weight = node.saved
    results: Gradients = (None, None)
    for _tile in range(min(-(-prod(hidden.shape[:-1]) // _TILE), 2)):
        results = _one_tile_back(node, hidden, weight, results)
    of_hidden, of_weight = results
    return of_hidden, None if of_weight is None else cast(of_weight, weight.dtype)


def _one_tile_back(node: Node, hidden: Tensor, weight: Tensor, before: Gradients) -> Gradients:
    tape, dtype = hidden.tape, node.extra
    assert isinstance(dtype, DType)
    half = None if weight.dtype is dtype else tape.empty(weight.shape, dtype)
    saved = _tile_of_logits(hidden, weight, dtype)[:1]
    logits = _through_softmax(saved, dtype)
    rows = logits.shape[0]
    part = tape.empty((rows, hidden.shape[-1]), dtype)
    product = tape.empty(weight.shape, dtype) if node.needs(1) else None
    del logits, half
    whole = tape.empty(hidden.shape, hidden.dtype) if node.needs(0) else None
    del part
    return tuple(old if old is not None else new for old, new in zip(before, (whole, product), strict=True))


def _through_softmax(saved: list[Tensor], dtype: DType) -> Tensor:
    """Return the gradient of a tile's logits; the log-softmax is saved no more."""
    tape, shape = saved[0].tape, saved[0].shape
    picked = tape.empty(shape, FLOAT32)
    logits = tape.empty(shape, FLOAT32)
    del picked
    saved.clear()
    return logits if dtype is FLOAT32 else tape.empty(shape, dtype)


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
