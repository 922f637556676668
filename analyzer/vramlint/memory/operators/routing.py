"""Routing tokens to experts: choosing, sorting, the grouped product and the sum over a token's experts.

transformers 5.23, integrations/moe.py (grouped_mm); saved tensors: derivatives.yaml, _grouped_mm.
"""

from __future__ import annotations

from math import prod
from typing import TYPE_CHECKING

from vramlint.memory.dtypes import INT64
from vramlint.memory.operators.elementwise import add_inplace, cast
from vramlint.memory.operators.indexing import take_rows

if TYPE_CHECKING:
    from vramlint.memory.tape import Gradients, Node, Tensor


def top_k(x: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """`torch.topk(x, count)`: values and indices, of which the latter are saved; backward fills x's shape."""
    shape = (*x.shape[:-1], count)
    indices = x.tape.empty(shape, INT64)
    values = x.tape.record(x.tape.empty(shape, x.dtype), (x,), _filled, (indices,))
    return values, indices


def _filled(node: Node, grads: Gradients) -> Gradients:
    grad = grads[0]
    assert grad is not None
    return (grad.tape.empty(node.inputs[0][2], grad.dtype),)


def grouped_linear(x: Tensor, weight: Tensor) -> Tensor:
    """Rows sorted by expert times their experts' weights of shape (E, out, in); autocast leaves it alone."""
    x = cast(x, weight.dtype)
    out = x.tape.empty((x.shape[0], weight.shape[1]), x.dtype)
    saved = ((x,) if weight.node is not None else ()) + ((weight,) if x.node is not None else ())
    return x.tape.record(out, (x, weight), _grouped_backward, saved)


def grouped_linear_in_out(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """The same with weights of shape (E, in, out), and a bias that is added in place."""
    x = cast(x, weight.dtype)
    out = x.tape.empty((x.shape[0], weight.shape[2]), x.dtype)
    saved = ((x,) if weight.node is not None else ()) + ((weight,) if x.node is not None else ())
    out = x.tape.record(out, (x, weight), _grouped_backward, saved)
    return add_inplace(out, bias)


def _grouped_backward(node: Node, grads: Gradients) -> Gradients:
    grad = grads[0]
    assert grad is not None
    return [grad.tape.empty(shape, dtype) if source else None for source, _, shape, dtype in node.inputs]


def sort_by_expert(x: Tensor, indices: Tensor, scores: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Return the rows of x once per chosen expert, sorted by expert, their scores, and the permutation."""
    tape, pairs = x.tape, prod(indices.shape)
    sorted_ids, permutation = tape.empty((pairs,), INT64), tape.empty((pairs,), INT64)
    rows = take_rows(x, (tape.empty((pairs,), INT64),), pairs, x.shape[-1])
    chosen = take_rows(scores.view(pairs), (permutation,), pairs)
    del sorted_ids
    return rows, chosen, permutation


def sum_experts(x: Tensor, count: int) -> Tensor:
    """Put rows back into the tokens' order, and sum the `count` of each token."""
    tape, (pairs, width) = x.tape, x.shape
    ordered = take_rows(x, (tape.empty((pairs,), INT64),), pairs, width)
    out = tape.empty((pairs // count, width), x.dtype)
    return tape.record(out, (ordered,), _filled)
