"""Linear layers with a quantized weight."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING
from typing import cast as cast_type

from vramlint.memory.arena import Arena, Key
from vramlint.memory.dtypes import FLOAT8, FLOAT32, DType
from vramlint.memory.modules import Linear, Parameter, Stem, parameter_tensor
from vramlint.memory.operators.elementwise import cast
from vramlint.memory.tape import Gradients, Node, Shape, Storage, Tensor

if TYPE_CHECKING:
    from vramlint.memory.quantization.formats import Stored


class QuantizedParameter(Parameter):
    """A frozen weight that is stored in another form; its shape and count are those of the weight it stands for."""

    __slots__ = ("_storages", "stored")

    def __init__(self, parameter: Parameter, stored: tuple[Stored, ...]) -> None:
        super().__init__(*parameter.shape)
        self.copies = parameter.copies
        self.trainable = False
        self.stored = stored

    def keys(self, arena: Arena) -> list[Key]:
        """Return the tensors that are really stored."""
        return [Key(arena.label, arena.kind, part.shape, part.bits) for part in self.stored]

    def adopt(self, storages: list[Storage]) -> None:
        """Let the parameter be these storages."""
        self._storages = storages
        self.tensor = Tensor(self.shape, FLOAT32, storages[0])


@dataclass(frozen=True, slots=True)
class Product:
    """How a product with a quantized weight runs.

    `compute` is the type that its input is cast to. `keeps_input`: the input is saved although the weight is
    frozen, as LLM.int8 does (MatMul8bitLt), and MatMul4Bit did before bitsandbytes 0.43.2 (#1270). `restored`
    is the type that the weight is restored in, the one it was quantized from; None is the input's. Another
    type is cast to the input's, and the whole weight exists twice (bitsandbytes/autograd/_functions.py).
    `casts_input`: forward takes the weight as it is and casts the input to fp8 instead; only backward restores it
    (transformers integrations/finegrained_fp8.py, FP8LinearFunction).
    `has_linear_experts`: experts are linear layers that are quantized too, as before transformers 5.0.
    """

    compute: DType
    keeps_input: bool = False
    has_linear_experts: bool = False
    restored: DType | None = None
    casts_input: bool = False


class QuantizedLinear(Stem):
    """A linear layer that restores its weight for each product, in forward and in backward."""

    def __init__(self, base: Linear, stored: tuple[Stored, ...], product: Product) -> None:
        super().__init__(base.inputs, base.outputs)
        self.weight = QuantizedParameter(base.weight, stored)
        self.product = product
        bias = vars(base).get("bias")
        if bias is not None:
            self.bias = bias

    def forward(self, x: Tensor) -> Tensor:
        """(…, in) to (…, out) in the type of x; the product is done in the compute type."""
        dtype = x.dtype
        x = cast(x, x.tape.autocast or self.product.compute)
        restored = (
            x.tape.empty(x.shape, FLOAT8)
            if self.product.casts_input
            else restore(self.weight.shape, x, self.product.restored)
        )
        out = x.tape.empty((*x.shape[:-1], self.outputs), x.dtype)
        del restored
        saved = (x,) if self.product.keeps_input else (parameter_tensor(self.weight),)
        extra = (self.weight.shape, self.product.restored)
        out = x.tape.record(out, (x,), _restore_backward, saved, extra)
        return cast(out, dtype)


def restore(shape: Shape, x: Tensor, restored: DType | None) -> Tensor:
    """Allocate the whole weight in the type of x, after it was in the type it is restored in."""
    weight = x.tape.empty(shape, restored or x.dtype)
    return weight if weight.dtype is x.dtype else x.tape.empty(shape, x.dtype)


def _restore_backward(node: Node, grads: Gradients) -> Gradients:
    grad = grads[0]
    assert grad is not None
    shape, dtype = cast_type("tuple[Shape, DType | None]", node.extra)
    restored = restore(shape, grad, dtype)
    result = grad.tape.empty(node.inputs[0][2], grad.dtype)
    del restored
    return (result,)
