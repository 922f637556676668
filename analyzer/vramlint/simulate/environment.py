"""The surroundings of a simulated step: tensors without data, and a torch that takes the absent GPU for real."""

from __future__ import annotations

import logging
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Any

import torch
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.nn import functional

from vramlint.simulate.attention import sdpa_for

if TYPE_CHECKING:
    from collections.abc import Iterator

    from vramlint.simulate.run import Kernels

# Operators that CUDA has kernels for and that a torch without CUDA would take apart into several.
_ONE_KERNEL = ("silu_backward", "mish_backward")
_CAPABILITY = (8, 0)


@contextmanager
def absent_gpu(device: str, kernels: Kernels) -> Iterator[None]:
    """Make tensors without data, on a device that need not exist; everything is put back on leaving."""
    with ExitStack() as stack:
        for owner, name, value in _replacements(device):
            stack.enter_context(_replaced(owner, name, value))
        stack.callback(_registered(device, kernels)._destroy)  # noqa: SLF001  nothing public takes them back
        stack.enter_context(torch.autograd.set_multithreading_enabled(False))
        stack.enter_context(FakeTensorMode(allow_non_fake_inputs=True))
        yield


def _replacements(device: str) -> Iterator[tuple[Any, str, Any]]:
    torch_logger = logging.getLogger("torch._subclasses.fake_tensor")
    import torch.cuda.amp.common as amp  # noqa: PLC0415  a module of a name that torch.cuda.amp hides
    from transformers.utils import import_utils  # noqa: PLC0415  slow, and only needed here

    yield (
        functional,
        "scaled_dot_product_attention",
        sdpa_for(device, functional.scaled_dot_product_attention),
    )
    yield amp, "amp_definitely_not_available", lambda: False
    yield torch.cuda, "is_bf16_supported", lambda *_, **__: True
    yield torch.cuda, "get_device_capability", lambda *_, **__: _CAPABILITY
    # transformers takes tensors without data for tracing, and then builds masks that it would not build.
    yield import_utils, "is_fake_tensor", lambda _: False
    yield from _grouped_products()
    yield torch_logger, "disabled", True  # it tells of every operator that has no result, before we do


def _grouped_products() -> Iterator[tuple[Any, str, Any]]:
    """Let experts in other types than bfloat16 take transformers' own product, as torch only checks shapes of that."""
    try:
        from transformers.integrations import moe  # noqa: PLC0415  since transformers 5
    except ImportError:
        return
    original = getattr(moe, "_can_use_grouped_mm", None)
    if original is not None:

        def can_use(values: torch.Tensor, *others: Any) -> bool:
            return values.dtype is torch.bfloat16 and bool(original(values, *others))

        yield moe, "_can_use_grouped_mm", can_use


@contextmanager
def _replaced(owner: Any, name: str, value: Any) -> Iterator[None]:
    if not hasattr(owner, name):
        yield
        return
    original = getattr(owner, name)
    setattr(owner, name, value)
    try:
        yield
    finally:
        setattr(owner, name, original)


def _registered(device: str, kernels: Kernels) -> torch.library.Library:
    """Make torch keep whole, or take apart, the operators that only CUDA has in one piece.

    An operator without a kernel of the device is taken apart before any mode sees it (the dispatcher's rule for
    CompositeImplicitAutograd). The kernels that are claimed here are never run, since no tensor has data.
    """
    library = torch.library.Library("aten", "IMPL", "CUDA")
    is_missing = not torch.backends.cuda.is_built()
    for name in _ONE_KERNEL if device == "cuda" and is_missing and kernels == "cuda" else ():
        library.impl(name, _never)
    return library


def _never(*_: Any, **__: Any) -> None:
    raise AssertionError("a tensor without data came to a kernel")
