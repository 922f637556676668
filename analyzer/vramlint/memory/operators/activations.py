"""Activation functions by the names that transformers' ACT2FN gives them (transformers/activations.py)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vramlint.memory.errors import CannotEstimate
from vramlint.memory.operators.elementwise import power, unary, unary_saving_result

if TYPE_CHECKING:
    from collections.abc import Callable

    from vramlint.memory.tape import Gradients, Node, Tensor


def gelu_new(x: Tensor) -> Tensor:
    """GELU by its tanh formula, written out in separate operators (NewGELUActivation)."""
    return 0.5 * x * (1.0 + unary_saving_result(0.8 * (x + 0.044715 * power(x))))


def silu(x: Tensor) -> Tensor:
    """`F.silu`: saves its input.

    CUDA has a kernel of its own for the backward; elsewhere the composite formula runs, and all of its
    intermediate tensors are alive at once (Activation.cpp, math_silu_backward).
    """
    out = x.tape.empty(x.shape, x.dtype, contiguous=x.contiguous)
    return x.tape.record(out, (x,), _silu_backward, (x,))


def _silu_backward(node: Node, grads: Gradients) -> Gradients:
    x, grad = node.saved[0], grads[0]
    assert grad is not None
    if x.tape.has_cuda_kernels:
        return (x.tape.empty(x.shape, x.dtype),)
    sigmoid, complement, product, total, slope = (x.tape.empty(x.shape, x.dtype) for _ in range(5))
    result = x.tape.empty(x.shape, x.dtype)
    del sigmoid, complement, product, total, slope
    return (result,)


def quick_gelu(x: Tensor) -> Tensor:
    """`x * sigmoid(1.702 * x)`."""
    return x * unary_saving_result(1.702 * x)


def relu_squared(x: Tensor) -> Tensor:
    """`relu(x) ** 2`."""
    return power(unary_saving_result(x))


def recomputed_gelu(x: Tensor) -> Tensor:
    """BLOOM's GELU: a Python function that saves its input alone and computes the rest again in backward."""
    with x.tape.no_grad():
        out = x * 0.5 * (1.0 + unary_saving_result(0.8 * x * (1 + 0.04 * x * x)))
    return x.tape.record(out, (x,), _recomputed_gelu_backward, (x,))


def _recomputed_gelu_backward(node: Node, grads: Gradients) -> Gradients:
    x, grad = node.saved[0], grads[0]
    assert grad is not None
    with x.tape.no_grad():
        tanh = unary_saving_result(0.8 * x * (1 + 0.04 * x * x))
        slope = 0.5 * x * ((1 + tanh * tanh) * (0.8 + 0.1 * x * x)) + 0.5 * (1 + tanh)
        return (slope * grad,)


def erf(x: Tensor) -> Tensor:
    """`torch.erf`: saves its input; backward is `2 / sqrt(pi) * exp(-(x.pow(2))) * grad` (derivatives.yaml)."""
    out = x.tape.empty(x.shape, x.dtype, contiguous=x.contiguous)
    return x.tape.record(out, (x,), _erf_backward, (x,))


def _erf_backward(node: Node, _: Gradients) -> Gradients:
    x = node.saved[0]
    squared, negated, exponential, scaled = (x.tape.empty(x.shape, x.dtype) for _ in range(4))
    result = x.tape.empty(x.shape, x.dtype)
    del squared, negated, exponential, scaled
    return (result,)


def written_gelu(x: Tensor) -> Tensor:
    """GELU by erf, written out in separate operators (models/esm)."""
    return x * 0.5 * (1.0 + erf(x * 1.0))


_FUNCTIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "gelu": unary,
    "gelu_pytorch_tanh": unary,
    "gelu_fast": gelu_new,
    "gelu_new": gelu_new,
    "quick_gelu": quick_gelu,
    "relu": unary_saving_result,
    "relu2": relu_squared,
    "sigmoid": unary_saving_result,
    "silu": silu,
    "swish": silu,
    "tanh": unary_saving_result,
}


def activation(name: str) -> Callable[[Tensor], Tensor]:
    """Return the activation of that name.

    Raises:
        CannotEstimate: for one that is not known.
    """
    function = _FUNCTIONS.get(name)
    if function is None:
        raise CannotEstimate(
            f"the config names an activation {name!r} that is not known; known are {', '.join(_FUNCTIONS)}"
        )
    return function
