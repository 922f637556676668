"""What attention kernels allocate inside themselves in backward, which no operator's result shows.

Sources: pytorch/aten/src/ATen/native/transformers/cuda/flash_attn/flash_api.cpp, mha_bwd (softmax_d, dq_accum, and
dk, dv for every query head); .../cuda/attention_backward.cu (delta and the workspace that sums dq).
"""

from __future__ import annotations

from math import prod
from typing import Any

import torch

aten = torch.ops.aten
_FLOAT = 4  # bytes of float32
_NARROW_HEAD = 128


def _up(value: int, multiple: int) -> int:
    return -(-value // multiple) * multiple


def scratch_of(operator: Any, arguments: Any) -> tuple[int, ...]:
    """Return the bytes of each buffer that an operator allocates and frees inside itself."""
    if operator is aten._scaled_dot_product_flash_attention_backward.default:  # noqa: SLF001  the operator's name
        return _flash(arguments[1], arguments[2])
    if operator is aten._scaled_dot_product_efficient_attention_backward.default:  # noqa: SLF001
        return _efficient(arguments[1])
    return ()


def _flash(query: torch.Tensor, key: torch.Tensor) -> tuple[int, ...]:
    batch, heads, length, width = query.shape
    rows = _up(length, 128)
    columns = _up(width, 32 if width <= _NARROW_HEAD else 64)
    sums = (batch * heads * rows * _FLOAT, batch * heads * rows * columns * _FLOAT)
    if heads == key.shape[1]:
        return sums
    expanded = batch * heads * key.shape[2] * width * query.element_size()
    return (*sums, expanded, expanded)


def _efficient(query: torch.Tensor) -> tuple[int, ...]:
    batch, heads, length, width = query.shape
    delta = prod((batch, heads, length, _FLOAT))
    if query.dtype is torch.float32:
        return (delta,)
    return (delta, batch * heads * _up(length, 64) * _up(width, 32) * _FLOAT)
