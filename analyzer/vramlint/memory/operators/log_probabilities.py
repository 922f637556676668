"""The log-probabilities of chosen tokens, as preference and reinforcement-learning trainers compute them.

Sources: TRL 0.15 to 1.15, `trainer/utils.py` (selective_log_softmax, entropy_from_logits);
torch/csrc/autograd/FunctionsManual.cpp (logsumexp_backward), aten/src/ATen/native/ReduceOps.cpp (logsumexp).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from vramlint.memory.dtypes import FLOAT32, INT64
from vramlint.memory.operators.elementwise import narrow, subtract, unstack
from vramlint.memory.operators.indexing import gather
from vramlint.memory.tape import Dim

if TYPE_CHECKING:
    from collections.abc import Sequence

    from vramlint.memory.tape import Gradients, Node, Tensor

_ENTROPY_ROWS = 128


def token_log_probabilities(logits: Tensor, indices: Tensor) -> Tensor:
    """(B, T, V) logits to (B, T) log-probabilities of the tokens at `indices`, row after row of the batch.

    fp32 logits go through logsumexp, which needs no whole log-softmax; others are too coarse for that.
    """
    batch, length, _ = logits.shape
    if logits.dtype is FLOAT32:
        chosen = gather(logits, indices, batch, length)
        sums = [_log_sum_exp(row) for row in unstack(logits, batch)]
        return subtract(chosen, _stacked(sums))
    return _stacked([gather(_log_softmax(row), indices, length) for row in unstack(logits, batch)])


def _stacked(parts: Sequence[Tensor]) -> Tensor:
    """`torch.stack`: a copy, of which each part gets back a view."""
    first = parts[0]
    out = first.tape.empty((len(parts), *first.shape), first.dtype)
    return first.tape.record(out, parts, _unstacked)


def _unstacked(node: Node, grads: Gradients) -> Gradients:
    grad = grads[0]
    assert grad is not None
    return [grad.view(*grad.shape[1:]) for _ in node.inputs]


def _log_sum_exp(x: Tensor) -> Tensor:
    """`x.logsumexp(-1)`: saves x and its result; forward makes one temporary of x's size."""
    tape = x.tape
    out = tape.empty(x.shape[:-1], x.dtype)
    exponential = tape.empty(x.shape, x.dtype)
    del exponential
    return tape.record(out, (x,), _log_sum_exp_backward, (x, out.detached()))


def _log_sum_exp_backward(node: Node, grads: Gradients) -> Gradients:
    """`grad * (self - result).exp()`."""
    x, grad = node.saved[0], grads[0]
    assert grad is not None
    difference = x.tape.empty(x.shape, x.dtype)
    exponential = x.tape.empty(x.shape, x.dtype)
    result = x.tape.empty(x.shape, x.dtype)
    del difference, exponential  # C++ keeps both to the end of the expression
    return (result,)


def _log_softmax(x: Tensor) -> Tensor:
    """`F.log_softmax(x, -1)`: saves its result."""
    out = x.tape.empty(x.shape, x.dtype)
    return x.tape.record(out, (x,), _log_softmax_backward, (out.detached(),))


def _log_softmax_backward(node: Node, _: Gradients) -> Gradients:
    (out,) = node.saved
    return (out.tape.empty(out.shape, out.dtype),)


def watch_entropy(logits: Tensor) -> None:
    """What logging the entropy of (B, T, V) logits takes for a while: a copy of a part, and tiles."""
    batch, length, vocabulary = logits.shape
    tape, rows = logits.tape, min(_ENTROPY_ROWS, batch * length)
    flat = None if logits.contiguous else tape.empty(logits.shape, logits.dtype)
    tiles = [tape.empty((rows, vocabulary), logits.dtype) for _ in range(3)]
    del tiles, flat


def scaled_in_place(logits: Tensor) -> Tensor:
    """`logits[:, :-1].div_(t)`: returns that part; its gradient goes into a copy of the whole one."""
    batch, length, vocabulary = logits.shape
    part = (batch, Dim(length - 1, "(T-1)"), vocabulary)
    whole = logits.tape.record(logits.detached(), (logits,), _copy_slices, (), part)
    return narrow(whole, 1, part[1])


def _copy_slices(node: Node, grads: Gradients) -> Gradients:
    """CopySlices::apply (torch/csrc/autograd/functions/tensor.cpp): a copy, and the part's own two."""
    grad = grads[0]
    assert grad is not None
    assert isinstance(node.extra, tuple)
    whole = grad.tape.empty(grad.shape, grad.dtype)
    parts = [grad.tape.empty(node.extra, grad.dtype) for _ in range(2)]
    del parts
    return (whole,)


def shifted(logits: Tensor) -> tuple[Tensor, Tensor]:
    """Return the logits without each row's last place, and the indices of the tokens that follow."""
    batch, length, _ = logits.shape
    short = Dim(length - 1, "(T-1)")
    return narrow(logits, 1, short), logits.tape.empty((batch, short), INT64)
