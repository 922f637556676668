"""`scaled_dot_product_attention` with the kernel that CUDA would take, where torch itself would look for a GPU.

The choice: pytorch/aten/src/ATen/native/transformers/cuda/sdp_utils.cpp for compute capability 8.0 or newer. What
happens around a kernel (padding of heads, of masks): .../transformers/attention.cpp, preprocess_mask and
pad_last_dim.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch.nn import functional

if TYPE_CHECKING:
    from collections.abc import Callable

aten = torch.ops.aten

_HALF = (torch.float16, torch.bfloat16)
_MOST_FLASH = 256  # columns of a head
_DIMENSIONS = 4
_MASK_ALIGNMENT = 16


@dataclass(frozen=True, slots=True)
class _Call:
    """The arguments of one attention, after autocast."""

    query: torch.Tensor
    key: torch.Tensor
    value: torch.Tensor
    mask: torch.Tensor | None
    dropout: float
    causal: bool
    scale: float | None
    grouped: bool

    @property
    def is_oblong(self) -> bool:
        return self.query.shape[-2] != self.key.shape[-2]


def sdpa_for(
    device: str, original: Callable[..., torch.Tensor], kernel: str | None = None
) -> Callable[..., torch.Tensor]:
    """Return a replacement of `original` for tensors on `device`; `kernel` overrules the choice."""

    def attend(  # noqa: PLR0917  torch's own signature
        query: torch.Tensor,
        key: torch.Tensor,
        value: torch.Tensor,
        attn_mask: torch.Tensor | None = None,
        dropout_p: float = 0.0,
        is_causal: bool = False,  # noqa: FBT001, FBT002
        scale: float | None = None,
        enable_gqa: bool = False,  # noqa: FBT001, FBT002
    ) -> torch.Tensor:
        if query.device.type != device:
            return original(
                query, key, value, attn_mask, dropout_p, is_causal, scale=scale, enable_gqa=enable_gqa
            )
        query, key, value = (_autocast(tensor, device) for tensor in (query, key, value))
        mask = None if attn_mask is None else _autocast(attn_mask, device)
        call = _Call(query, key, value, mask, dropout_p, is_causal, scale, enable_gqa)
        with torch.autocast(device, enabled=False):
            return _KERNELS[kernel or _kernel(call)](call)

    return attend


def _autocast(tensor: torch.Tensor, device: str) -> torch.Tensor:
    if not tensor.is_floating_point() or not torch.is_autocast_enabled(device):
        return tensor
    return tensor.to(torch.get_autocast_dtype(device))


def _kernel(call: _Call) -> str:
    query, key, value = call.query, call.key, call.value
    width, is_half = query.shape[-1], query.dtype in _HALF
    if query.dim() != _DIMENSIONS or not (query.shape[1] == key.shape[1] or call.grouped):
        return "math"
    same_width = width == key.shape[-1] == value.shape[-1]
    fits_flash = is_half and call.mask is None and same_width and width <= _MOST_FLASH
    if fits_flash and not (call.causal and call.is_oblong):
        return "flash"
    return "efficient" if width % (8 if is_half else 4) == 0 else "math"


def _math(call: _Call) -> torch.Tensor:
    out: torch.Tensor = aten._scaled_dot_product_attention_math(  # noqa: SLF001  the operator's name
        call.query,
        call.key,
        call.value,
        call.mask,
        call.dropout,
        call.causal,
        scale=call.scale,
        enable_gqa=call.grouped,
    )[0]
    return out


def _flash(call: _Call) -> torch.Tensor:
    width = call.query.shape[-1]
    heads = (call.query, call.key, call.value)
    if width % 8:
        heads = tuple(functional.pad(x, (0, 8 - width % 8)) for x in heads)  # type: ignore[assignment]
    scale = call.scale or 1 / math.sqrt(width)
    out: torch.Tensor = aten._scaled_dot_product_flash_attention(  # noqa: SLF001  the operator's name
        *heads, call.dropout, call.causal, scale=scale
    )[0]
    return out if out.shape[-1] == width else out[..., :width]


def _efficient(call: _Call) -> torch.Tensor:
    query, key, value = call.query, call.key, call.value
    if query.shape[1] != key.shape[1]:
        times = query.shape[1] // key.shape[1]
        key, value = key.repeat_interleave(times, 1), value.repeat_interleave(times, 1)
    bias = None if call.mask is None else _bias(call.mask, query, key)
    wants = torch.is_grad_enabled() and any(x.requires_grad for x in (query, key, value))
    scale = call.scale or 1 / math.sqrt(query.shape[-1])
    out: torch.Tensor = aten._scaled_dot_product_efficient_attention(  # noqa: SLF001  the operator's name
        query, key, value, bias, wants, call.dropout, call.causal, scale=scale
    )[0]
    return out


_KERNELS = {"flash": _flash, "efficient": _efficient, "math": _math}


def _bias(mask: torch.Tensor, query: torch.Tensor, key: torch.Tensor) -> torch.Tensor:
    """Return a mask as an additive one in the query's type, its rows aligned, for every head."""
    if mask.dtype is torch.bool:
        mask = torch.zeros_like(mask, dtype=query.dtype).masked_fill_(mask.logical_not(), -math.inf)
    width = mask.shape[-1]
    if width % _MASK_ALIGNMENT:
        mask = functional.pad(mask, (0, _MASK_ALIGNMENT - width % _MASK_ALIGNMENT))[..., :width]
    return mask.expand(*query.shape[:3], key.shape[2])
