"""Quantized frozen weights: how they are stored, and how a product with them runs."""

from __future__ import annotations

from vramlint.memory.quantization.inject import quantize

__all__ = ["quantize"]
