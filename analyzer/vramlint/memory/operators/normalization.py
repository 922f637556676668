"""Normalization layers."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vramlint.memory.dtypes import FLOAT32
from vramlint.memory.operators.elementwise import (
    autocast_fp32,
    cast,
    contiguous,
    empty_like,
    mean_last,
    power,
    rsqrt,
    subtract,
)

if TYPE_CHECKING:
    from vramlint.memory.tape import Gradients, Node, Tensor


def layer_norm(x: Tensor, weight: Tensor | None, bias: Tensor | None = None, axes: int = 1) -> Tensor:
    """`F.layer_norm`, on autocast's fp32 list: saves x and fp32 mean and reciprocal deviation of each row.

    A row is what lies in the last `axes` dimensions.
    """
    x = autocast_fp32(x)
    tape = x.tape
    out = tape.empty(x.shape, x.dtype)
    rows = x.shape[:-axes]
    mean, deviation = tape.empty(rows, FLOAT32), tape.empty(rows, FLOAT32)
    affine = tuple(autocast_fp32(p) for p in (weight, bias) if p is not None)
    return tape.record(out, (x, *affine), _layer_norm_backward, (x, mean, deviation))


def _layer_norm_backward(node: Node, grads: Gradients) -> Gradients:
    grad = grads[0]
    assert grad is not None
    return [
        grad.tape.empty(shape, grad.dtype) if source is not None else None
        for source, _, shape, _ in node.inputs
    ]


def rms_norm(x: Tensor, weight: Tensor) -> Tensor:
    """RMS norm as transformers writes it for Llama: in fp32, cast back before the weight is applied."""
    dtype = x.dtype
    x = cast(x, FLOAT32)
    variance = mean_last(power(x))
    x = x * rsqrt(variance + 1e-6)
    return weight * cast(x, dtype)


def centred_norm(x: Tensor, weight: Tensor) -> Tensor:
    """LayerNorm without bias as Cohere's models write it out: in fp32, cast back at the end."""
    dtype = x.dtype
    x = cast(x, FLOAT32)
    mean = mean_last(x)
    variance = mean_last(power(subtract(x, mean)))
    x = subtract(x, mean) * rsqrt(variance + 1e-5)
    return cast(cast(weight, FLOAT32) * x, dtype)


def batch_norm(x: Tensor, weight: Tensor | None, bias: Tensor | None) -> Tensor:
    """`F.batch_norm` in training, half or fp32 in and out: saves x and two fp32 numbers per channel.

    cudnn_batch_norm also saves a reserve, which is empty for the layout (B, C, H, W)
    (cudnnGetBatchNormalizationTrainingExReserveSpaceSize), so it holds what native_batch_norm does.
    """
    tape, channels = x.tape, x.shape[1:2]
    out = empty_like(x)
    mean, deviation = tape.empty(channels, FLOAT32), tape.empty(channels, FLOAT32)
    affine = tuple(p for p in (weight, bias) if p is not None)
    return tape.record(out, (x, *affine), _layer_norm_backward, (x, mean, deviation))


def group_norm(x: Tensor, weight: Tensor | None, bias: Tensor | None, groups: int) -> Tensor:
    """`F.group_norm`, on autocast's fp32 list: saves x in contiguous order, and two numbers for each group."""
    x = contiguous(autocast_fp32(x))
    tape = x.tape
    out = tape.empty(x.shape, x.dtype)
    mean, deviation = tape.empty((x.shape[0], groups), x.dtype), tape.empty((x.shape[0], groups), x.dtype)
    affine = tuple(p for p in (weight, bias) if p is not None)
    return tape.record(out, (x, *affine), _layer_norm_backward, (x, mean, deviation))


def rms_norm_fp32(x: Tensor, weight: Tensor, *, offset: bool = False) -> Tensor:
    """RMS norm that applies the weight, or `1 + weight`, in fp32 and casts the result back (Gemma, OLMo 2)."""
    dtype = x.dtype
    x = cast(x, FLOAT32)
    x = x * rsqrt(mean_last(power(x)) + 1e-6)
    weight = cast(weight, FLOAT32)
    if offset:
        weight = weight + 1.0
    return cast(x * weight, dtype)


def unit_length(x: Tensor) -> Tensor:
    """`F.normalize(x, dim=-1)`: saves x, its norms, and the norms cut off from below; autocast's norm is fp32."""
    rows, dtype = (*x.shape[:-1], 1), x.dtype if x.tape.autocast is None else FLOAT32
    norm, cut = x.tape.empty(rows, dtype), x.tape.empty(rows, dtype)
    out = x.tape.empty(x.shape, dtype, contiguous=x.contiguous)
    return x.tape.record(out, (x,), _unit_length_backward, (x, norm, cut))


def _unit_length_backward(_: Node, grads: Gradients) -> Gradients:
    """Through the quotient: one gradient for x, one for the norms that is expanded to x, and their sum."""
    grad = grads[0]
    assert grad is not None
    direct = grad.tape.empty(grad.shape, grad.dtype)
    through_norm = grad.tape.empty(grad.shape, grad.dtype)
    del through_norm
    return (direct,)


def weight_norm(direction: Tensor, length: Tensor) -> Tensor:
    """`torch._weight_norm` along the last dimension: a weight of that length; saves both and the norms."""
    out = direction.tape.empty(direction.shape, direction.dtype)
    norms = direction.tape.empty(length.shape, FLOAT32)
    return direction.tape.record(out, (direction, length), _layer_norm_backward, (direction, length, norms))


def vector_norm(x: Tensor, *axes: int) -> Tensor:
    """`torch.linalg.vector_norm(x, 2, axes, keepdim=True)`: saves x and the norms, which autocast asks for in fp32.

    Backward multiplies the gradient by the quotient of both (FunctionsManual.cpp, linalg_vector_norm_backward).
    """
    dtype = x.dtype if x.tape.autocast is None else FLOAT32
    reduced = {axis % len(x.shape) for axis in axes}
    shape = tuple(1 if axis in reduced else size for axis, size in enumerate(x.shape))
    out = x.tape.empty(shape, dtype)
    return x.tape.record(out, (x,), _vector_norm_backward, (x, out.detached()))


def _vector_norm_backward(node: Node, _: Gradients) -> Gradients:
    x, norms = node.saved
    quotient = x.tape.empty(x.shape, norms.dtype)
    result = x.tape.empty(x.shape, norms.dtype)
    del quotient
    return (result,)


def torch_rms_norm(x: Tensor, weight: Tensor) -> Tensor:
    """`F.rms_norm`, on autocast's fp32 list: one CUDA kernel that saves x and a number per row.

    Where x and the weight differ in type, and elsewhere, it is written out in operators (native/layer_norm.cpp,
    rms_norm_symint and rms_norm_composite).
    """
    x, weight = autocast_fp32(x), autocast_fp32(weight)
    if x.tape.has_cuda_kernels and x.dtype is weight.dtype:
        out = x.tape.empty(x.shape, x.dtype)
        rows = x.tape.empty((*x.shape[:-1], 1), FLOAT32)
        return x.tape.record(out, (x, weight), _layer_norm_backward, (x, rows))
    dtype, x = x.dtype, cast(x, FLOAT32)
    scale = rsqrt(mean_last(power(x)) + 1e-6)
    return cast((x * scale) * weight, dtype)
