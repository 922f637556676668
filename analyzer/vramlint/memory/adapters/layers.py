"""Linear layers with an adapter (peft 0.21, tuners/lora/layer.py, dora.py, bnb.py and ia3/layer.py)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Generic, TypeVar

from vramlint.memory.modules import Linear, Module, Parameter, Stem, parameter_tensor
from vramlint.memory.operators.elementwise import cast, dropout
from vramlint.memory.operators.elementwise import copy as clone
from vramlint.memory.operators.matmul import autocast_half
from vramlint.memory.quantization.layers import QuantizedLinear

if TYPE_CHECKING:
    from vramlint.memory.dtypes import DType
    from vramlint.memory.tape import Tensor

M = TypeVar("M", bound=Module)


class Adapted(Module):
    """A frozen linear layer with something trainable beside it."""

    def __init__(self, base_layer: Stem) -> None:
        self.base_layer = base_layer
        self.inputs, self.outputs = base_layer.inputs, base_layer.outputs

    @property
    def weight(self) -> Parameter:
        """Return the base layer's weight."""
        return self.base_layer.weight


class LoraLinear(Adapted):
    """`base(x) + B(A(dropout(x))) * scaling`.

    On a 4-bit base the result is copied first, and under autocast the input is not cast to the adapters' type.
    """

    def __init__(self, base_layer: Stem, rank: int, p: float, dtype: DType) -> None:
        super().__init__(base_layer)
        self.lora_A = Named(Linear(self.inputs, rank, bias=False))
        self.lora_B = Named(Linear(rank, self.outputs, bias=False))
        self.p = p
        for parameter in (self.lora_A.default.weight, self.lora_B.default.weight):
            parameter.dtype = dtype

    def forward(self, x: Tensor) -> Tensor:
        """(…, in) to (…, out)."""
        result: Tensor = self.base_layer(x)
        dtype = result.dtype
        if isinstance(self.base_layer, QuantizedLinear):
            result = clone(result)
        x = self._input(x)
        result = result + self._delta(x, dtype)
        return cast(result, dtype)

    def _input(self, x: Tensor) -> Tensor:
        if isinstance(self.base_layer, QuantizedLinear) and x.tape.autocast is not None:
            return x
        return cast(x, self.lora_A.default.weight.dtype)

    def _delta(self, x: Tensor, dtype: DType) -> Tensor:
        out = self.lora_B.default(self.lora_A.default(dropout(x, self.p))) * 2.0
        if isinstance(self.base_layer, QuantizedLinear) and x.tape.autocast is None:
            return cast(out, dtype)
        return out  # type: ignore[no-any-return]


class DoraLinear(LoraLinear):
    """LoRA whose merged weight is normalized to a trainable magnitude (dora.py, DoraLinearLayer).

    The norm of W + BA is computed anew in each forward pass, without gradient, on full-size temporaries.
    """

    def __init__(self, base_layer: Stem, rank: int, p: float, dtype: DType) -> None:
        super().__init__(base_layer, rank, p, dtype)
        self.lora_magnitude_vector = Named(Magnitude(self.outputs, dtype))

    def forward(self, x: Tensor) -> Tensor:
        """(…, in) to (…, out)."""
        result: Tensor = self.base_layer(x)
        dtype = result.dtype
        x = self._input(x)
        scale = self._scale(x)
        if self.p:
            x = dropout(x, self.p)
            base: Tensor = self.base_layer(x)
        else:
            base = result
        delta = self.lora_B.default(self.lora_A.default(x))
        added = (scale + -1.0) * base + scale * delta * 2.0
        return cast(result + added, dtype)

    def _scale(self, x: Tensor) -> Tensor:
        tape, shape = x.tape, (self.outputs, self.inputs)
        if tape.autocast_cache:  # its copies of A and B are those that train: PEFT merges them with a graph
            for layer in (self.lora_A, self.lora_B):
                autocast_half(parameter_tensor(layer.default.weight))
        with tape.no_grad():
            merged = self.lora_B.default(self.lora_A.default(tape.empty((self.inputs, self.inputs), x.dtype)))
            weight = cast(parameter_tensor(self.weight), x.dtype)
            total = tape.empty(shape, x.dtype)
            norm = tape.empty((self.outputs,), x.dtype)
            del merged, weight, total
        return parameter_tensor(self.lora_magnitude_vector.default.weight) * norm


class ScaledLinear(Adapted):
    """IA³: a trained vector scales the output, or the input of a feed-forward layer."""

    def __init__(self, base_layer: Stem, dtype: DType, *, is_feedforward: bool) -> None:
        super().__init__(base_layer)
        self.ia3_l = Named(Magnitude(self.inputs if is_feedforward else self.outputs, dtype))
        self.is_feedforward = is_feedforward

    def forward(self, x: Tensor) -> Tensor:
        """(…, in) to (…, out)."""
        vector = parameter_tensor(self.ia3_l.default.weight)
        if self.is_feedforward:
            scaled = cast(cast(x, vector.dtype) * vector, x.dtype)
            return self.base_layer(scaled)  # type: ignore[no-any-return]
        result: Tensor = self.base_layer(x)
        return cast(result * vector, result.dtype)


class Magnitude(Module):
    """A trained vector."""

    def __init__(self, size: int, dtype: DType) -> None:
        self.weight = Parameter(size)
        self.weight.dtype = dtype


class Named(Module, Generic[M]):
    """PEFT keeps the parts of an adapter under the adapter's name."""

    def __init__(self, part: M) -> None:
        self.default = part


class SavedModule(Module):
    """A module of `modules_to_save`: the original stays, frozen, and a trained copy runs in its place."""

    def __init__(self, original: Module, copy: Module) -> None:
        self.original_module = original
        self.modules_to_save = Named(copy)

    @property
    def weight(self) -> Any:
        """Return the copy's weight, which fused losses read instead of running the head."""
        copy: Any = self.modules_to_save.default
        return copy.weight

    def forward(self, *args: Tensor) -> Tensor:
        """Run the copy."""
        return self.modules_to_save.default(*args)  # type: ignore[no-any-return]
