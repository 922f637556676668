"""Connectionist temporal classification, as torch's own CUDA kernel does it (native/cuda/LossCTC.cu)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vramlint.memory.dtypes import FLOAT32

if TYPE_CHECKING:
    from vramlint.memory.tape import Gradients, Node, Tensor


def ctc_loss(log_probabilities: Tensor, targets: Tensor) -> Tensor:
    """`F.ctc_loss` of (B, T, V): saves the alphas of all frames and places between labels, and the loss per row."""
    tape = log_probabilities.tape
    rows, frames, _ = log_probabilities.shape
    losses = tape.empty((rows,), FLOAT32)
    alphas = tape.empty((rows, frames, 2 * targets.shape[-1] + 1), FLOAT32)
    total = tape.empty((), FLOAT32)
    saved = (log_probabilities.detached(), targets, alphas, losses)
    return tape.record(total, (log_probabilities,), _backward, saved)


def _backward(node: Node, _: Gradients) -> Gradients:
    log_probabilities, alphas = node.saved[0], node.saved[2]
    betas = alphas.tape.empty(alphas.shape, FLOAT32)
    result = alphas.tape.empty(log_probabilities.shape, FLOAT32)
    del betas
    return (result,)
