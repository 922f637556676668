"""The textbook's activation memory."""

from __future__ import annotations

from vramlint.knowledge.textbook.figure import TextbookFigure, exactly

_KORTHIKANTI = "Korthikanti et al. 2022, Reducing Activation Recomputation in Large Transformer Models, eq. 2"


def activations(s: int, b: int, h: int, L: int, a: int) -> TextbookFigure:
    """Return L·s·b·h·(34 + 5·a·s/h) bytes: sequence s, batch b, hidden size h, L layers, a heads."""
    return exactly(
        "activations",
        L * s * b * (34 * h + 5 * a * s),
        "L·s·b·h·(34 + 5·a·s/h)",
        _KORTHIKANTI,
        "it counts a 16-bit GPT with dropout, eager attention and fused kernels; flash attention drops "
        "the s² term, and it has no logits, no weight casts of autocast, no fp32 residual stream",
    )


def hidden_states(s: int, b: int, h: int, L: int, item_bytes: int) -> TextbookFigure:
    """Return L·s·b·h·e bytes: the output of every layer, once."""
    return exactly(
        "hidden states",
        L * s * b * h * item_bytes,
        f"L·s·b·h × {item_bytes} B",
        "one hidden state per layer",
        "that is what checkpointing keeps; without it autograd saves some 40 to 60 bytes per element",
    )


def attention_scores(s: int, b: int, L: int, a: int, item_bytes: int) -> TextbookFigure:
    """Return L·b·a·s²·e bytes: the attention matrix of every layer, once."""
    return exactly(
        "attention matrices",
        L * b * a * s**2 * item_bytes,
        f"L·b·a·s² × {item_bytes} B",
        "one attention matrix per layer and head",
        "flash and memory-efficient attention never store it; eager attention stores it up to three times",
    )
