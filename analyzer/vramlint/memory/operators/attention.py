"""Scaled dot-product attention: which kernel CUDA takes, and what each saves and allocates.

Kernel choice: aten/src/ATen/native/transformers/cuda/sdp_utils.cpp (compute capability 8.0 or newer).
Saved tensors: derivatives.yaml, _scaled_dot_product_{flash,efficient}_attention. Backward scratch of the
flash kernel: flash-attention's mha_bwd (softmax_d, dq_accum, and dk, dv expanded to the query heads).
"""

from __future__ import annotations

from typing import Literal

from vramlint.memory.dtypes import BOOL, FLOAT32, INT64
from vramlint.memory.operators.elementwise import cast, contiguous, expand, reshape
from vramlint.memory.operators.elementwise import dropout as apply_dropout
from vramlint.memory.operators.matmul import autocast_half, batched
from vramlint.memory.selective import output_of
from vramlint.memory.tape import Gradients, Node, Tensor

Kernel = Literal["flash", "efficient", "math"]

_FLASH_HEAD_DIM = 256
_NARROW_HEAD = 128  # up to this head size the flash kernel pads dq to 32 columns, beyond to 64
_LOGSUMEXP_ROWS = 32  # the memory-efficient kernel pads its rows to this multiple


def _up(value: int, multiple: int) -> int:
    return -(-value // multiple) * multiple


def chosen_kernel(query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None) -> Kernel:
    """Return the kernel that CUDA takes for these inputs."""
    size = query.shape[-1]
    equal = size == key.shape[-1] == value.shape[-1]
    if query.dtype.is_half and mask is None and equal and size <= _FLASH_HEAD_DIM:
        return "flash"
    if size % (8 if query.dtype.is_half else 4) != 0:
        return "math"
    if query.shape[1] != key.shape[1]:
        # the check asks for equal heads (check_batch_size_and_num_heads_dense<false>): math may run instead
        query.tape.doubts.add("grouped heads")
    return "efficient"


def sdpa(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    mask: Tensor | None = None,
    *,
    dropout: float = 0.0,
    causal: bool = False,
    kernel: Kernel | None = None,
) -> Tensor:
    """`F.scaled_dot_product_attention` on (B, heads, T, head size); fewer key heads mean `enable_gqa`.

    `kernel` overrules CUDA's choice.
    """
    query, key, value = autocast_half(query), autocast_half(key), autocast_half(value)
    if mask is not None and mask.dtype.floating:
        mask = autocast_half(mask)
    kernel = kernel or chosen_kernel(query, key, value, mask)
    if kernel == "flash":
        return _flash(query, key, value)
    if kernel == "efficient":
        return _efficient(query, key, value, mask)
    with query.tape.autocast_to(None):  # the operator as a whole is on autocast's list
        return _math(query, key, value, mask, p=dropout, causal=causal)


def _padded(x: Tensor) -> Tensor:
    """Pad the head size to a multiple of 8, as the flash kernel needs it."""
    size = x.shape[-1]
    if size % 8 == 0:
        return x
    out = x.tape.empty((*x.shape[:-1], _up(size, 8)), x.dtype)
    return x.tape.record(out, (x,), _same_shape_backward)


def _same_shape_backward(node: Node, grads: Gradients) -> Gradients:
    grad = grads[0]
    assert grad is not None
    return (grad.tape.empty(node.inputs[0][2], grad.dtype),)


def _flash(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
    size = query.shape[-1]
    query, key, value = _padded(query), _padded(key), _padded(value)
    tape = query.tape
    # empty_like keeps the order of the query's dimensions (flash_api.cpp, mha_fwd)
    shape = (*query.shape[:-1], value.shape[-1])
    out = output_of(tape, "attention", shape, query.dtype, contiguous=query.contiguous)
    logsumexp = tape.empty(query.shape[:-1], FLOAT32)
    random_state = (tape.empty((2,), INT64), tape.empty((), INT64))
    saved = (query, key, value, out.detached(), logsumexp, *random_state)
    out = tape.record(out, (query, key, value), _flash_backward, saved)
    if out.shape[-1] == size:
        return out
    cut = Tensor((*out.shape[:-1], size), out.dtype, out.storage, contiguous=False)
    return tape.record(cut, (out,), _same_shape_backward)


def _flash_backward(node: Node, grads: Gradients) -> Gradients:
    results = _three_gradients(node, grads)
    query, key = node.saved[0], node.saved[1]
    batch, heads, length, size = query.shape
    rows = _up(length, 128)
    width = _up(size, 32 if size <= _NARROW_HEAD else 64)
    scratch = [
        query.tape.empty((batch, heads, rows), FLOAT32),
        query.tape.empty((batch, heads, rows, width), FLOAT32),
    ]
    if heads != key.shape[1]:
        expanded = (batch, key.shape[2], heads, size)
        scratch += [query.tape.empty(expanded, query.dtype), query.tape.empty(expanded, query.dtype)]
    return results


def _three_gradients(node: Node, grads: Gradients) -> Gradients:
    grad = grads[0]
    assert grad is not None
    results: list[Tensor | None] = []
    for source, _, shape, dtype in node.inputs:
        out = grad.tape.empty(shape, dtype, contiguous=False) if source is not None else None
        if out is not None:
            out.strides = token_order(shape)
        results.append(out)
    return results


def token_order(shape: tuple[int, ...]) -> tuple[int, ...]:
    """Return the strides of (B, N, T, H) that lies in memory as (B, T, N, H)."""
    _, heads, length, width = shape
    return (length * heads * width, width, heads * width, 1)


def repeat_heads(x: Tensor, heads: int) -> Tensor:
    """`repeat_kv` of transformers: (B, K, T, H) to (B, N, T, H), a copy unless there is nothing or one to repeat."""
    batch, groups, length, size = x.shape
    if groups == heads:
        return x
    if groups == 1:
        return expand(x, batch, heads, length, size)
    return _interleave(x, heads)


def _interleave(x: Tensor, heads: int) -> Tensor:
    """`x.repeat_interleave(...)` along the heads, which always copies."""
    batch, groups, length, size = x.shape
    if groups == heads:
        return x
    wide = expand(x.view(batch, groups, 1, length, size), batch, groups, heads // groups, length, size)
    return reshape(wide, batch, heads, length, size)


def _efficient(query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None) -> Tensor:
    heads = query.shape[1]
    key, value = _interleave(key, heads), _interleave(value, heads)
    tape = query.tape
    bias = _as_bias(mask, query) if mask is not None else None
    shape = (*query.shape[:-1], value.shape[-1])
    out = output_of(tape, "attention", shape, query.dtype, contiguous=False)
    if not any(x.node is not None for x in (query, key, value)) or not tape.grad_enabled:
        return out
    batch, _, length, _ = query.shape
    logsumexp = tape.empty((batch, heads, _up(length, _LOGSUMEXP_ROWS)), FLOAT32)
    seed_and_offset = (tape.empty((), INT64), tape.empty((), INT64))
    saved = (query, key, value, out.detached(), logsumexp, *seed_and_offset)
    if bias is None:
        return tape.record(out, (query, key, value), _efficient_backward, saved)
    bias = _over_heads(bias, (batch, heads, length, key.shape[2]))
    return tape.record(out, (query, key, value, bias), _efficient_backward, (*saved, bias.detached()))


def _as_bias(mask: Tensor, query: Tensor) -> Tensor:
    """Turn a boolean mask into an additive one of the query's type, its last dimension padded to 16."""
    aligned = (*mask.shape[:-1], _up(mask.shape[-1], 16))
    if mask.dtype.floating:
        return mask if aligned == mask.shape else _pad_last(mask, aligned)
    filled = mask.tape.empty(mask.shape, query.dtype)
    inverted = mask.tape.empty(mask.shape, mask.dtype)
    del inverted
    return filled if aligned == mask.shape else mask.tape.empty(aligned, query.dtype)


def _pad_last(mask: Tensor, aligned: tuple[int, ...]) -> Tensor:
    """Copy a mask into rows of another length, and return the part that is in use."""
    padded = mask.tape.empty(aligned, mask.dtype)
    padded = mask.tape.record(padded, (mask,), _same_shape_backward)
    cut = Tensor(mask.shape, mask.dtype, padded.storage, contiguous=False)
    return mask.tape.record(cut, (padded,), _same_shape_backward)


def _over_heads(bias: Tensor, shape: tuple[int, ...]) -> Tensor:
    """Expand a bias to all rows and heads: a view; its gradient is reduced again."""
    return expand(bias, *shape) if bias.shape != shape else bias


def _efficient_backward(node: Node, grads: Gradients) -> Gradients:
    results = _three_gradients(node, grads)
    query = node.saved[0]
    batch, heads, length, size = query.shape
    scratch = [query.tape.empty((batch, heads, length), FLOAT32)]
    if query.dtype.is_half:
        scratch.append(query.tape.empty((batch, heads, _up(length, 64), _up(size, 32)), FLOAT32))
    return results


def _math(
    query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None, *, p: float, causal: bool
) -> Tensor:
    """Attention written out in operators (attention.cpp, _scaled_dot_product_attention_math); half inputs in fp32."""
    dtype, heads, tape = query.dtype, query.shape[1], query.tape
    query, key, value = (
        (cast(x, FLOAT32) for x in (query, key, value)) if dtype.is_half else (query, key, value)
    )
    query = query * 1.0
    if causal:
        mask = _causal_bias(query, key)
    key, value = _interleave(key, heads), _interleave(value, heads)
    scores = batched(query, key.transposed(-2, -1) * 1.0)
    if mask is not None and not causal:
        bias = _as_bias(mask, query)
        del bias  # added in place
    weights = apply_dropout(_safe_softmax(scores), p)
    del mask, scores
    out = batched(weights, value)
    assert out.tape is tape
    return cast(out, dtype)


def sdpa_one_head(query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None) -> Tensor:
    """`F.scaled_dot_product_attention` where one key head meets many query heads without `enable_gqa`.

    Only the math kernel broadcasts; its products copy keys and values for all heads.
    """
    query, key, value = autocast_half(query), autocast_half(key), autocast_half(value)
    with query.tape.autocast_to(None):  # the operator as a whole is on autocast's list
        return _broadcast_math(query, key, value, mask)


def _broadcast_math(query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None) -> Tensor:
    dtype, (batch, heads, length, size) = query.dtype, query.shape
    if dtype.is_half:
        query, key, value = cast(query, FLOAT32), cast(key, FLOAT32), cast(value, FLOAT32)
    query, turned = query * 1.0, key.transposed(-2, -1) * 1.0
    scores = batched(query, contiguous(expand(turned, batch, heads, size, length)))
    if mask is not None:
        bias = _as_bias(mask, query)
        del bias  # added in place
    weights = _safe_softmax(scores)
    del scores
    out = batched(weights, contiguous(expand(value, batch, heads, length, size)))
    return cast(out, dtype)


def _causal_bias(query: Tensor, key: Tensor) -> Tensor:
    """A lower triangle in bool, then as an additive mask of the query's type."""
    shape = (query.shape[-2], key.shape[-2])
    ones = query.tape.empty(shape, BOOL)
    triangle = query.tape.empty(shape, BOOL)
    del ones
    bias = query.tape.empty(shape, query.dtype)
    inverted = query.tape.empty(shape, BOOL)
    del triangle, inverted
    return bias


def _safe_softmax(x: Tensor) -> Tensor:
    """Softmax that gives zeros for rows without any finite score; one tensor is saved (derivatives.yaml)."""
    tape = x.tape
    plain = tape.empty(x.shape, x.dtype)
    masked = tape.empty(x.shape, BOOL)
    rows = tape.empty((*x.shape[:-1], 1), BOOL)
    del masked
    out = tape.empty(x.shape, x.dtype)
    del plain, rows
    return tape.record(out, (x,), _same_shape_backward, (out.detached(),))
