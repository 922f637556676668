"""Label smoothing: torch's cross-entropy with it, and the LabelSmoother of transformers' Trainer."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vramlint.memory.dtypes import BOOL, FLOAT32, INT64
from vramlint.memory.operators.elementwise import (
    add,
    autocast_fp32,
    cast,
    contiguous,
    expanded_back,
    narrow,
    negate,
    scale,
    total,
)
from vramlint.memory.operators.indexing import gather
from vramlint.memory.operators.losses import picked
from vramlint.memory.operators.softmax import softmax

if TYPE_CHECKING:
    from vramlint.memory.dtypes import DType
    from vramlint.memory.tape import Gradients, Node, Shape, Tensor


def smoothed_cross_entropy(logits: Tensor, targets: Tensor, shape: Shape = ()) -> Tensor:
    """`F.cross_entropy(…, label_smoothing=…)`: the log-softmax is picked from, and summed over the classes too.

    Source: LossNLL.cpp, cross_entropy_loss_label_smoothing. `shape` is that of the result.
    """
    log_probabilities = softmax(logits, logits.dtype)
    loss = picked(log_probabilities, targets, "mean" if shape == () else "none")
    wide = FLOAT32 if logits.tape.autocast is not None else logits.dtype
    sums = negate(summed_last(log_probabilities, wide))
    ignored = logits.tape.empty(targets.shape, BOOL)
    sums = logits.tape.record(sums.detached(), (sums,), scale, (ignored,))
    smooth = total(sums) if shape == () else sums.view(*shape)
    return add(loss * 1.0, smooth * 1.0)


def label_smoother(logits: Tensor, labels: Tensor, *, shifts: bool) -> Tensor:
    """LabelSmoother.__call__ (trainer_pt_utils.py): its gather saves the negated log-softmax as a second tensor."""
    tape = logits.tape
    if shifts:
        rows, length, _ = logits.shape
        logits = contiguous(narrow(logits, 1, length - 1))
        labels = tape.empty((rows, length - 1), INT64)
    log_probabilities = negate(autocast_fp32(softmax(logits, logits.dtype)))
    padding = tape.empty((*labels.shape, 1), BOOL)
    labels = tape.empty((*labels.shape, 1), INT64)
    likelihood = gather(log_probabilities, labels, *labels.shape)
    smooth = summed_last(log_probabilities, FLOAT32)
    likelihood, smooth = (
        tape.record(part.detached(), (part,), scale, (padding,)) for part in (likelihood, smooth)
    )
    count = tape.empty((), INT64)
    loss = add(total(likelihood) * 1.0, total(smooth) * 1.0)
    del count, logits  # the function's variables live to its end
    return loss


def summed_last(x: Tensor, dtype: DType) -> Tensor:
    """`x.sum(-1, keepdim=True, dtype=dtype)`: saves nothing; its gradient is expanded, and cast to x's type."""
    return x.tape.record(x.tape.empty((*x.shape[:-1], 1), dtype), (x,), _summed_back, (), dtype)


def _summed_back(node: Node, grads: Gradients) -> Gradients:
    (expanded,) = expanded_back(node, grads)
    assert expanded is not None
    dtype = node.inputs[0][3]
    return (expanded if dtype is node.extra else cast(expanded, dtype),)
