"""The textbook's inference memory."""

from __future__ import annotations

from vramlint.knowledge.textbook.figure import TextbookFigure


def inference_peak(weight_bytes: int) -> TextbookFigure:
    """Return 1.5 to 2.5 times the weights."""
    return TextbookFigure(
        "inference",
        weight_bytes * 3 // 2,
        weight_bytes * 5 // 2,
        "1.5 … 2.5 × weights",
        "a rule of thumb for autoregressive generation",
        "the key-value cache grows with batch and length, not with the weights, and prefill has its own peak",
    )
