"""Losses of plain torch: what each saves, and the full-size tensor it reduces (aten/src/ATen/native/Loss.cpp)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vramlint.memory.operators.elementwise import autocast_fp32

if TYPE_CHECKING:
    from vramlint.memory.tape import Gradients, Node, Tensor


def pointwise(x: Tensor, target: Tensor, reduction: str, temporaries: int = 0) -> Tensor:
    """`mse_loss`, `smooth_l1_loss`, `huber_loss`, `bce_loss`: save both, reduce one tensor of their size."""
    x, target = autocast_fp32(x), autocast_fp32(target)
    scratch = [x.tape.empty(x.shape, x.dtype) for _ in range(temporaries)]
    whole = x.tape.empty(x.shape, x.dtype)
    del scratch
    out = whole if reduction == "none" else x.tape.empty((), x.dtype)
    del whole
    return x.tape.record(out, (x, target), _backward, (x, target))


def bce_with_logits(x: Tensor, target: Tensor, reduction: str) -> Tensor:
    """`F.binary_cross_entropy_with_logits`: saves both; forward has two tensors for a moment, backward one more."""
    x, target = autocast_fp32(x), autocast_fp32(target)
    first, second = x.tape.empty(x.shape, x.dtype), x.tape.empty(x.shape, x.dtype)
    del second
    out = first if reduction == "none" else x.tape.empty((), x.dtype)
    del first
    return x.tape.record(out, (x, target), _sigmoid_backward, (x, target))


def _backward(node: Node, grads: Gradients) -> Gradients:
    grad = grads[0]
    assert grad is not None
    return [
        grad.tape.empty(shape, grad.dtype) if source is not None else None
        for source, _, shape, _ in node.inputs
    ]


def _sigmoid_backward(node: Node, grads: Gradients) -> Gradients:
    x = node.saved[0]
    probability = x.tape.empty(x.shape, x.dtype)
    results = _backward(node, grads)
    del probability
    return results


def picked(log_probabilities: Tensor, target: Tensor, reduction: str) -> Tensor:
    """`F.nll_loss`: saves its input, the target and the total weight."""
    log_probabilities = autocast_fp32(log_probabilities)
    tape = log_probabilities.tape
    shape = target.shape if reduction == "none" else ()
    loss, weight = tape.empty(shape, log_probabilities.dtype), tape.empty((), log_probabilities.dtype)
    return tape.record(loss, (log_probabilities,), _picked_backward, (log_probabilities, target, weight))


def _picked_backward(node: Node, _: Gradients) -> Gradients:
    x = node.saved[0]
    return (x.tape.empty(x.shape, x.dtype),)
