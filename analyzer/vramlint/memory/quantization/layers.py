"""Linear layers with a quantized weight."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vramlint.memory.arena import Arena, Key
from vramlint.memory.dtypes import FLOAT32, DType
from vramlint.memory.modules import Linear, Parameter, Stem, parameter_tensor
from vramlint.memory.operators.elementwise import cast
from vramlint.memory.tape import Gradients, Node, Storage, Tensor

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


class QuantizedLinear(Stem):
    """A linear layer that restores its weight for each product, in forward and in backward.

    4-bit: bitsandbytes' matmul_4bit saves no activation, since the weight is frozen
    (bitsandbytes/autograd/_functions.py, MatMul4Bit).
    """

    keeps_input = False

    def __init__(self, base: Linear, stored: tuple[Stored, ...], compute: DType) -> None:
        super().__init__(base.inputs, base.outputs)
        self.weight = QuantizedParameter(base.weight, stored)
        self.compute = compute
        bias = vars(base).get("bias")
        if bias is not None:
            self.bias = bias

    def forward(self, x: Tensor) -> Tensor:
        """(…, in) to (…, out) in the type of x; the product is done in the compute type."""
        dtype = x.dtype
        x = cast(x, x.tape.autocast or self.compute)
        out = x.tape.empty((*x.shape[:-1], self.outputs), x.dtype)
        restored = x.tape.empty(self.weight.shape, x.dtype)
        del restored
        saved = (x,) if self.keeps_input else (parameter_tensor(self.weight),)
        out = x.tape.record(out, (x,), _restore_backward, saved, self.weight.shape)
        return cast(out, dtype)


class Int8Linear(QuantizedLinear):
    """LLM.int8: MatMul8bitLt keeps its input although the weight is frozen."""

    keeps_input = True


def _restore_backward(node: Node, grads: Gradients) -> Gradients:
    grad = grads[0]
    assert grad is not None
    shape = node.extra
    assert isinstance(shape, tuple)
    restored = grad.tape.empty(shape, grad.dtype)
    result = grad.tape.empty(node.inputs[0][2], grad.dtype)
    del restored
    return (result,)
