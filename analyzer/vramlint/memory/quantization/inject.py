"""Quantizes the linear layers of a model, as transformers' quantizers choose them (quantizers/base.py)."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from vramlint.memory.dtypes import FLOAT32
from vramlint.memory.errors import CannotEstimate
from vramlint.memory.families.experts import Experts
from vramlint.memory.modules import Linear, Module, Stack
from vramlint.memory.quantization.experts import quantize_experts
from vramlint.memory.quantization.formats import BNB_4BIT, FORMATS, Stored, bnb_4bit
from vramlint.memory.quantization.layers import Product, QuantizedLinear

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from vramlint.memory.families.base import Model
    from vramlint.plan.document import Quantization

# The output layer stays as it is (get_keys_to_not_convert); Lightning's plugin takes it as well.
_KEPT = frozenset({"lm_head", "embed_out", "score", "classifier"})


def quantize(model: Model, quantization: Quantization, product: Product, *, output_layer: bool) -> None:
    """Freeze a model and replace its linear layers by quantized ones, which run as `product` says.

    Raises:
        CannotEstimate: for a kind that is not known.
    """
    kind = quantization.kind.lower()
    stored: Callable[[int, int], tuple[Stored, ...]]
    if kind in BNB_4BIT:
        stored = partial(bnb_4bit, double=quantization.double)
    elif kind in FORMATS:
        stored = FORMATS[kind]
    else:
        known = ", ".join(sorted({*BNB_4BIT, *FORMATS}))
        raise CannotEstimate(f"quantization {quantization.kind!r} is not known; these are: {known}")
    for parameter in model.parameters():
        parameter.trainable = False

    def replaced(linear: Linear) -> QuantizedLinear:
        return QuantizedLinear(linear, stored(linear.outputs, linear.inputs), product)

    _replace(model, replaced, frozenset() if output_layer else _KEPT)
    if product.has_linear_experts:
        for experts in _experts(model):
            quantize_experts(experts, stored, product)
    if quantization.prepared_for_kbit:
        _upcast_rest(model)


def _replace(module: Module, replaced: Callable[[Linear], Module], kept: frozenset[str]) -> None:
    children = [part.layer for part in module.parts] if isinstance(module, Stack) else ()
    for child in children:
        _replace(child, replaced, kept)
    for name, child in list(module.children()):
        if isinstance(child, Linear) and name not in kept:
            module.put(name, replaced(child))
        else:
            _replace(child, replaced, kept)


def _experts(module: Module) -> Iterator[Experts]:
    """Yield the stacked experts of a model."""
    children = [part.layer for part in module.parts] if isinstance(module, Stack) else ()
    for child in (*children, *(child for _, child in module.children())):
        if isinstance(child, Experts):
            yield child
        else:
            yield from _experts(child)


def _upcast_rest(model: Model) -> None:
    """What `prepare_model_for_kbit_training` does: every other half parameter becomes fp32 (peft/utils/other.py)."""
    for parameter in model.parameters():
        if parameter.dtype.is_half:
            parameter.dtype = FLOAT32
