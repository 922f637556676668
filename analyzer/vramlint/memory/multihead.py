"""`nn.MultiheadAttention` (torch/nn/functional.py, multi_head_attention_forward) where no weights are asked for."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vramlint.memory.modules import Linear, Module, Parameter, parameter_tensor
from vramlint.memory.operators.attention import sdpa
from vramlint.memory.operators.elementwise import copy, split
from vramlint.memory.operators.indexing import select
from vramlint.memory.operators.matmul import batched, linear
from vramlint.memory.operators.softmax import softmax

if TYPE_CHECKING:
    from vramlint.memory.tape import Tensor


class SelfAttention(Module):
    """`nn.MultiheadAttention(width, heads, batch_first=True)` of one tensor with itself."""

    label = "attention"

    def __init__(self, width: int, heads: int, p: float = 0.0) -> None:
        self.in_proj_weight = Parameter(3 * width, width)
        self.in_proj_bias = Parameter(3 * width)
        self.out_proj = Linear(width, width)
        self.heads, self.p = heads, p

    def forward(self, x: Tensor) -> Tensor:
        """(B, T, D) to (B, T, D); inside, rows come second, so the tokens are copied into that order."""
        rows, length, width = x.shape
        by_token = x.transposed(0, 1) if rows > 1 else x.view(length, rows, width)
        packed = linear(by_token, parameter_tensor(self.in_proj_weight), parameter_tensor(self.in_proj_bias))
        packed = copy(packed.view(3, length, rows, width))
        query, key, value = (self._heads(packed) for _ in range(3))
        out = sdpa(query, key, value, dropout=self.p)
        out = self._by_token(out)
        out = self.out_proj(out)
        return out.view(rows, length, width)  # type: ignore[no-any-return]

    def _heads(self, packed: Tensor) -> Tensor:
        _, length, rows, width = packed.shape
        return select(packed, 0).view(rows, self.heads, length, width // self.heads)

    def _by_token(self, out: Tensor) -> Tensor:
        """Bring (B, N, T, H) into the order (T, B, N, H), in which only the flash kernel already wrote it."""
        rows, heads, length, size = out.shape
        ordered = out.view(length, rows, heads * size)
        return copy(ordered) if not out.dtype.is_half and rows > 1 else ordered


class ProbeAttention(Module):
    """`nn.MultiheadAttention` of one query with a sequence, asked for its weights, so written out in operators."""

    label = "attention"

    def __init__(self, width: int, heads: int) -> None:
        self.in_proj_weight = Parameter(3 * width, width)
        self.in_proj_bias = Parameter(3 * width)
        self.out_proj = Linear(width, width)
        self.heads = heads

    def forward(self, probe: Tensor, x: Tensor) -> Tensor:
        """(B, 1, D) and (B, T, D) to (B, 1, D)."""
        rows, length, width = x.shape
        sizes, size = (width, 2 * width), width // self.heads
        weights = split(parameter_tensor(self.in_proj_weight), sizes, 0)
        biases = split(parameter_tensor(self.in_proj_bias), sizes, 0)
        query = linear(probe, weights[0], biases[0]).view(rows * self.heads, 1, size)
        pair = linear(x.transposed(0, 1), weights[1], biases[1])
        pair = copy(pair.view(2, length, rows, width))
        key, value = (select(pair, 0).view(rows * self.heads, length, size) for _ in range(2))
        scores = softmax(batched(query * 1.0, key.transposed(-2, -1)))
        out = copy(batched(scores, value)).view(rows, 1, width)
        return self.out_proj(out)  # type: ignore[no-any-return]
