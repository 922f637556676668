"""The textbook's parameter count of a transformer."""

from __future__ import annotations


def transformer_parameters(h: int, v: int, L: int) -> int:
    """Return N = h·v + L·(12·h² + 13·h) + 2·h: hidden size h, vocabulary v, L layers.

    It is exact for a GPT-2 without position embeddings: MLP of 4h, full attention heads, biases, tied
    head. Grouped-query attention, gated MLPs and untied heads change the 12 and the h·v.
    Source: The Ultra-Scale Playbook (Hugging Face), "memory usage in transformers".
    """
    return h * v + L * (12 * h**2 + 13 * h) + 2 * h
