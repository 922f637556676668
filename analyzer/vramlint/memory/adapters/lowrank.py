"""Linear layers with other low-rank adapters: AdaLoRA, VeRA, LoHa and LoKr (peft 0.21, tuners/ of those names)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vramlint.memory.adapters.layers import Adapted, Magnitude, Named
from vramlint.memory.modules import Buffer, Module, Parameter, Stem, parameter_tensor
from vramlint.memory.operators.elementwise import add_inplace, cast, dropout, multiply
from vramlint.memory.operators.matmul import linear

if TYPE_CHECKING:
    from vramlint.memory.dtypes import DType
    from vramlint.memory.tape import Gradients, Node, Shape, Tape, Tensor
    from vramlint.plan.document import Lora


class _Matrix(Module):
    """A trained matrix."""

    def __init__(self, dtype: DType, *shape: int) -> None:
        self.weight = Parameter(*shape)
        self.weight.dtype = dtype


class AdaLoraLinear(Adapted):
    """`base(x) + dropout(x) (A ∘ E)ᵀ Bᵀ · scaling / rank`; `rank` is that before any is taken away.

    The number of ranks wants a gradient too (peft 0.21.2), so what is divided by it is saved.
    """

    def __init__(self, base_layer: Stem, rank: int, p: float, dtype: DType) -> None:
        super().__init__(base_layer)
        self.lora_A = Named(_Matrix(dtype, rank, self.inputs))
        self.lora_E = Named(_Matrix(dtype, rank, 1))
        self.lora_B = Named(_Matrix(dtype, self.outputs, rank))
        self.ranknum = Named(_Matrix(dtype, 1))
        self.p = p

    def forward(self, x: Tensor) -> Tensor:
        """(…, in) to (…, out)."""
        result: Tensor = self.base_layer(x)
        first, scale, second = (
            parameter_tensor(part.default.weight) for part in (self.lora_A, self.lora_E, self.lora_B)
        )
        x = dropout(cast(x, first.dtype), self.p)
        out = linear(linear(x, multiply(first, scale)), second) * 1.0
        return add_inplace(result, multiply(out, parameter_tensor(self.ranknum.default.weight) + 1e-5))


class SharedVera:
    """The two frozen random matrices that all layers take their parts of; the first layer's module owns them."""

    def __init__(self, rank: int) -> None:
        self.rank = rank
        self.inputs = self.outputs = 0
        self.owner: VeraLinear | None = None

    def widen(self, layer: VeraLinear, dtype: DType) -> None:
        """Make them wide enough for one more layer."""
        self.owner = self.owner or layer
        self.inputs, self.outputs = max(self.inputs, layer.inputs), max(self.outputs, layer.outputs)
        self.owner.vera_A = Buffer(self.rank, self.inputs, dtype=dtype)
        self.owner.vera_B = Buffer(self.outputs, self.rank, dtype=dtype)


class VeraLinear(Adapted):
    """`base(x) + b ∘ B (d ∘ A dropout(x))`: only the vectors b and d train."""

    vera_A: Buffer  # noqa: N815  PEFT's names
    vera_B: Buffer  # noqa: N815

    def __init__(self, base_layer: Stem, shared: SharedVera, lora: Lora, dtype: DType) -> None:
        super().__init__(base_layer)
        self.vera_lambda_b = Named(Magnitude(self.outputs, dtype))
        self.vera_lambda_d = Named(Magnitude(lora.r, dtype))
        self.p, self.shared = lora.dropout, shared
        shared.widen(self, dtype)

    def forward(self, x: Tensor) -> Tensor:
        """(…, in) to (…, out)."""
        result: Tensor = self.base_layer(x)
        dtype, owner = result.dtype, self.shared.owner
        assert owner is not None
        assert owner.vera_A.tensor is not None
        assert owner.vera_B.tensor is not None
        inner = parameter_tensor(self.vera_lambda_d.default.weight)
        outer = parameter_tensor(self.vera_lambda_b.default.weight)
        x = dropout(cast(x, inner.dtype), self.p)
        first = _part(owner.vera_A.tensor, inner.shape[0], self.inputs)
        second = _part(owner.vera_B.tensor, self.outputs, inner.shape[0])
        out = multiply(linear(multiply(linear(x, first), inner), second), outer)
        return cast(result + out, dtype)


def _part(whole: Tensor, *shape: int) -> Tensor:
    return whole.view(*shape)


class LohaLinear(Adapted):
    """`base(x) + W x` with W the element-wise product of two low-rank matrices, made anew in each forward pass."""

    def __init__(self, base_layer: Stem, rank: int, _: float, dtype: DType) -> None:
        super().__init__(base_layer)
        self.hada_w1_a = Named(_Matrix(dtype, self.outputs, rank))
        self.hada_w1_b = Named(_Matrix(dtype, rank, self.inputs))
        self.hada_w2_a = Named(_Matrix(dtype, self.outputs, rank))
        self.hada_w2_b = Named(_Matrix(dtype, rank, self.inputs))

    def forward(self, x: Tensor) -> Tensor:
        """(…, in) to (…, out)."""
        result: Tensor = self.base_layer(x)
        parts = (self.hada_w1_a, self.hada_w1_b, self.hada_w2_a, self.hada_w2_b)
        weight = _hadamard([parameter_tensor(part.default.weight) for part in parts])
        x = cast(x, weight.dtype)
        out = result + linear(x, weight)
        return cast(out, result.dtype)


def _hadamard(factors: list[Tensor]) -> Tensor:
    """HadaWeight.forward: two products of factors, their product, and that times the scale; the factors are saved."""
    first, tape = factors[0], factors[0].tape
    shape = (factors[0].shape[0], factors[1].shape[1])
    dtype = tape.autocast if tape.autocast is not None else first.dtype
    with tape.no_grad():
        halves = [tape.empty(shape, dtype), tape.empty(shape, dtype)]
        product = tape.empty(shape, dtype)
        del halves
        weight = tape.empty(shape, dtype)
        del product
    return tape.record(weight, factors, _hadamard_backward, tuple(factors))


def _hadamard_backward(node: Node, grads: Gradients) -> Gradients:
    """HadaWeight.backward: its temporaries are matrices of the whole weight's shape."""
    given = grads[0]
    assert given is not None
    tape = given.tape
    grad = tape.empty(given.shape, given.dtype)
    results: list[Tensor | None] = []
    temporary = None
    for index in (0, 2):
        product = tape.empty(grad.shape, grad.dtype)
        temporary = tape.empty(grad.shape, grad.dtype)
        del product
        results += [tape.empty(node.inputs[at][2], grad.dtype) for at in (index, index + 1)]
    del temporary
    return results


class LokrLinear(Adapted):
    """`base(x) + W x` with W a Kronecker product, made anew in each forward pass."""

    def __init__(self, base_layer: Stem, lora: Lora, dtype: DType) -> None:
        super().__init__(base_layer)
        rank = lora.r
        rows = _factors(self.outputs, lora.decompose_factor)
        columns = _factors(self.inputs, lora.decompose_factor)
        self.small, self.large = (rows[0], columns[0]), (rows[1], columns[1])
        splits_small = lora.decompose_both and rank < max(self.small) / 2
        self._make("lokr_w1", self.small, rank if splits_small else None, dtype)
        self._make("lokr_w2", self.large, rank if rank < max(self.large) / 2 else None, dtype)

    def _make(self, name: str, shape: tuple[int, int], rank: int | None, dtype: DType) -> None:
        if rank is None:
            setattr(self, name, Named(_Matrix(dtype, *shape)))
            return
        setattr(self, f"{name}_a", Named(_Matrix(dtype, shape[0], rank)))
        setattr(self, f"{name}_b", Named(_Matrix(dtype, rank, shape[1])))

    def _factor(self, name: str) -> Tensor:
        whole = vars(self).get(name)
        if whole is not None:
            return parameter_tensor(whole.default.weight)
        first, second = (parameter_tensor(vars(self)[f"{name}_{end}"].default.weight) for end in "ab")
        return linear(first, second.transposed(0, 1))

    def forward(self, x: Tensor) -> Tensor:
        """(…, in) to (…, out)."""
        result: Tensor = self.base_layer(x)
        weight = (
            _kronecker(self._factor("lokr_w1"), self._factor("lokr_w2"), (self.outputs, self.inputs)) * 1.0
        )
        x = cast(x, weight.dtype)
        out = result + linear(x, weight)
        return cast(out, result.dtype)


def _kronecker(a: Tensor, b: Tensor, shape: Shape) -> Tensor:
    """`torch.kron`: a product of views (a_r, 1, a_c, 1) and (1, b_r, 1, b_c), which saves both."""
    tape: Tape = a.tape
    wide = (a.shape[0], b.shape[0], a.shape[1], b.shape[1])
    out = tape.empty(wide, a.dtype if a.dtype is b.dtype else max((a.dtype, b.dtype), key=lambda d: d.bits))
    out = tape.record(out, (a, b), _kronecker_backward, (b, a))
    return out.view(*shape)


def _kronecker_backward(node: Node, grads: Gradients) -> Gradients:
    grad = grads[0]
    assert grad is not None
    return [grad.tape.empty(grad.shape, grad.dtype) for _ in node.inputs]


def _factors(dimension: int, factor: int) -> tuple[int, int]:
    """Split a number into two factors, the first at most `factor` or near the root (lokr/layer.py, factorization)."""
    if factor > 0 and dimension % factor == 0:
        return factor, dimension // factor
    limit = dimension if factor == -1 else factor
    pairs = [(m, dimension // m) for m in range(1, dimension + 1) if dimension % m == 0 and m <= limit]
    fitting = [pair for pair in pairs if pair[0] <= pair[1]] or [(1, dimension)]
    return fitting[-1]
