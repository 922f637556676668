"""Experts with quantized weights: one linear layer each, as transformers had them before 5.0."""

from __future__ import annotations

from typing import TYPE_CHECKING
from typing import cast as cast_type

from vramlint.memory.operators.elementwise import cast
from vramlint.memory.quantization.layers import Product, QuantizedParameter, restore

if TYPE_CHECKING:
    from collections.abc import Callable

    from vramlint.memory.dtypes import DType
    from vramlint.memory.families.experts import Experts
    from vramlint.memory.modules import Parameter
    from vramlint.memory.quantization.formats import Stored
    from vramlint.memory.tape import Gradients, Node, Shape, Tensor


def quantize_experts(
    experts: Experts, stored: Callable[[int, int], tuple[Stored, ...]], product: Product
) -> None:
    """Quantize the stacked weights of shape (E, out, in); each product restores one expert's at a time."""
    for name in ("gate_up_proj", "down_proj"):
        weight: Parameter = getattr(experts, name)
        count, outputs, inputs = weight.shape
        setattr(experts, name, QuantizedParameter(weight, stored(count * outputs, inputs)))

    def restored_product(x: Tensor, weights: Parameter) -> Tensor:
        dtype = x.dtype
        x = cast(x, x.tape.autocast or product.compute)
        shape = weights.shape[1:]
        one = restore(shape, x, product.restored)
        out = x.tape.empty((x.shape[0], shape[0]), x.dtype)
        del one
        saved = (x,) if product.keeps_input else ()
        return cast(x.tape.record(out, (x,), _backward, saved, (shape, product.restored)), dtype)

    experts.product = restored_product


def _backward(node: Node, grads: Gradients) -> Gradients:
    grad = grads[0]
    assert grad is not None
    shape, dtype = cast_type("tuple[Shape, DType | None]", node.extra)
    one = restore(shape, grad, dtype)
    result = grad.tape.empty(node.inputs[0][2], grad.dtype)
    del one
    return (result,)
