"""`torch.matmul` with broadcasting, and `torch.einsum`: what is folded, copied and saved.

Source: aten/src/ATen/native, LinearAlgebra.cpp and Linear.cpp.
"""

from __future__ import annotations

from math import prod
from typing import TYPE_CHECKING

from vramlint.memory.operators.matmul import autocast_half
from vramlint.memory.operators.views import expand, permute, reshape, strides_of, transpose

if TYPE_CHECKING:
    from collections.abc import Sequence

    from vramlint.memory.tape import Gradients, Node, Shape, Tensor

_MATRIX = 2


def matmul(a: Tensor, b: Tensor) -> Tensor:
    """`torch.matmul(a, b)`."""
    a, b = autocast_half(a), autocast_half(b)
    if len(a.shape) == 1:
        return _without(matmul(reshape(a, (1, *a.shape)), b), -2)
    if len(b.shape) == 1:
        return _without(matmul(a, reshape(b, (*b.shape, 1))), -1)
    if len(b.shape) == _MATRIX:
        rows = reshape(a, (prod(a.shape[:-1]), a.shape[-1]))
        return reshape(_multiplied(rows, b), (*a.shape[:-1], b.shape[-1]))
    if len(a.shape) == _MATRIX:
        columns = transpose(b, -1, -2)
        return transpose(matmul(columns, transpose(a, 0, 1)), -1, -2)
    return _batched(a, b)


def _without(x: Tensor, axis: int) -> Tensor:
    axis %= len(x.shape)
    return reshape(x, (*x.shape[:axis], *x.shape[axis + 1 :]))


def _batched(a: Tensor, b: Tensor) -> Tensor:
    batch = broadcast(a.shape[:-2], b.shape[:-2])
    left = reshape(expand(a, (*batch, *a.shape[-2:])), (prod(batch), *a.shape[-2:]))
    right = reshape(expand(b, (*batch, *b.shape[-2:])), (prod(batch), *b.shape[-2:]))
    out = _multiplied(left, right)
    return reshape(out, (*batch, a.shape[-2], b.shape[-1]))


def broadcast(a: Shape, b: Shape) -> Shape:
    """Return the shape that two shapes are broadcast to; raises ValueError where they do not fit."""
    length = max(len(a), len(b))
    pairs = zip((1,) * (length - len(a)) + a, (1,) * (length - len(b)) + b, strict=True)
    sizes = []
    for x, y in pairs:
        if x != y and 1 not in {x, y}:
            raise ValueError(f"sizes {list(a)} and {list(b)} do not fit")
        sizes.append(y if x == 1 else x)
    return tuple(sizes)


def _multiplied(a: Tensor, b: Tensor) -> Tensor:
    """`mm` and `bmm`: each factor is saved for the other's gradient."""
    if a.shape[-1] != b.shape[-2]:
        raise ValueError(f"a product of {list(a.shape)} and {list(b.shape)} does not fit")
    out = a.tape.empty((*a.shape[:-1], b.shape[-1]), a.dtype)
    saved = ((a,) if b.node is not None else ()) + ((b,) if a.node is not None else ())
    return a.tape.record(out, (a, b), _backward, saved)


def _backward(node: Node, grads: Gradients) -> Gradients:
    grad = grads[0]
    assert grad is not None
    return [
        grad.tape.empty(shape, grad.dtype) if source is not None else None
        for source, _, shape, _ in node.inputs
    ]


def einsum(equation: str, operands: Sequence[Tensor]) -> Tensor:
    """`torch.einsum`: operands are multiplied in pairs, from the left, as batched products (sumproduct_pair)."""
    terms, _, result = equation.replace(" ", "").partition("->")
    labels = terms.split(",")
    if len(labels) != len(operands) or "." in equation or not result:
        raise ValueError(f"einsum({equation!r}) is not read")
    parts = list(zip(labels, operands, strict=True))
    while len(parts) > 1:
        (left, a), (right, b), *rest = parts
        needed = set(result).union(*(label for label, _ in rest))
        parts = [_pair(left, a, right, b, needed), *rest]
    label, x = parts[0]
    summed = tuple(axis for axis, letter in enumerate(label) if letter not in result)
    if summed:
        from vramlint.memory.operators.pooling import mean_over  # noqa: PLC0415  only a sum needs it

        x, label = mean_over(x, *summed), "".join(letter for letter in label if letter in result)
    return x if label == result else permute(x, [label.index(letter) for letter in result])


def _pair(left: str, a: Tensor, right: str, b: Tensor, needed: set[str]) -> tuple[str, Tensor]:
    a, b = autocast_half(a), autocast_half(b)
    sizes = dict(zip(left, a.shape, strict=True)) | dict(zip(right, b.shape, strict=True))
    batch = [x for x in left if x in right and x in needed]
    summed = [x for x in left if x in right and x not in needed]
    only_left = [x for x in left if x not in right]
    only_right = [x for x in right if x not in left]

    def size(letters: Sequence[str]) -> int:
        return prod(sizes[letter] for letter in letters)

    a = permute(a, [left.index(x) for x in (*batch, *only_left, *summed)])
    b = permute(b, [right.index(x) for x in (*batch, *summed, *only_right)])
    a = reshape(a, (size(batch), size(only_left), size(summed)))
    b = reshape(b, (size(batch), size(summed), size(only_right)))
    out = _multiplied(a, b)
    label = [*batch, *only_left, *only_right]
    return "".join(label), reshape(out, tuple(sizes[x] for x in label))


def linear(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """`F.linear` of a tensor of any strides: x is copied where its rows cannot be seen as a matrix.

    The gradient of x is a view of the product's.
    """
    from vramlint.memory.operators import matmul as plain  # noqa: PLC0415  of the same name

    if x.shape[-1] != weight.shape[1]:
        raise ValueError(f"a linear layer of {weight.shape[1]} inputs meets {list(x.shape)}")
    if not x.contiguous and x.strides is not None:
        half = autocast_half(x)
        if len(x.shape) == _MATRIX and min(strides_of(half)) == 1:
            half.contiguous = True  # a transposed matrix is multiplied as it is
        elif not half.contiguous:
            half = reshape(half, (prod(x.shape[:-1]), x.shape[-1]))
            out = plain.linear(half, weight, bias)
            return reshape(out, (*x.shape[:-1], weight.shape[0]))
        return plain.linear(half, weight, bias)
    return plain.linear(x, weight, bias)
