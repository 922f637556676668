"""Softmax and the cross-entropy block."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vramlint.memory.dtypes import FLOAT16, FLOAT32
from vramlint.memory.operators.elementwise import autocast_fp32, cast

if TYPE_CHECKING:
    from vramlint.memory.dtypes import DType
    from vramlint.memory.tape import Gradients, Node, Shape, Tensor


def softmax(x: Tensor, dtype: DType | None = None) -> Tensor:
    """`F.softmax(x, -1, dtype)`: saves its output, and before torch 1.11 its input too (derivatives.yaml; PR #65242).

    Only fp16 goes to fp32 within the kernel; every other type is copied first (SoftMax.cpp, softmax).
    """
    if dtype is None:
        x = autocast_fp32(x)
    elif not (x.dtype is FLOAT16 and dtype is FLOAT32):
        x = cast(x, dtype)
    out = x.tape.empty(x.shape, dtype or x.dtype)
    saved = (out.detached(), x) if x.tape.softmax_saves_input else (out.detached(),)
    return x.tape.record(out, (x,), _softmax_backward, saved)


def _softmax_backward(node: Node, grads: Gradients) -> Gradients:
    grad = grads[0]
    assert grad is not None
    _, _, shape, dtype = node.inputs[0]
    return (grad.tape.empty(shape, dtype),)


def cross_entropy(logits: Tensor, targets: Tensor, shape: Shape = ()) -> Tensor:
    """`F.cross_entropy` of (rows, V): the log-softmax is saved; backward makes two more such tensors.

    `shape` is that of the result: (rows,) with `reduction="none"`. The log-softmax has the type of the logits even
    under autocast, which then casts it for nll_loss (LossNLL.cpp, cross_entropy_loss, names the type).
    """
    log_probabilities = autocast_fp32(softmax(logits, logits.dtype))
    loss = logits.tape.empty(shape, log_probabilities.dtype)
    weight = logits.tape.empty((), log_probabilities.dtype)
    saved = (log_probabilities.detached(), targets, weight)
    return logits.tape.record(loss, (log_probabilities,), _nll_backward, saved)


def _nll_backward(node: Node, _: Gradients) -> Gradients:
    log_probabilities = node.saved[0]
    return (log_probabilities.tape.empty(log_probabilities.shape, log_probabilities.dtype),)
