"""LitGPT's LoRA layers (lora.py): one adapter for query, key and value together, in the model's type."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from vramlint.memory.dtypes import INT64, DType, dtype_named
from vramlint.memory.errors import CannotEstimate
from vramlint.memory.families.litgpt import Attention, Block
from vramlint.memory.modules import Module, Parameter, Stack, Stem, parameter_tensor
from vramlint.memory.operators.elementwise import concatenate, copy, dropout, split
from vramlint.memory.operators.matmul import linear
from vramlint.memory.tape import Dim, Gradients, Node, Tensor

if TYPE_CHECKING:
    from vramlint.memory.families.base import Model
    from vramlint.plan.document import Lora

_FUSED = frozenset({"query_key_value", "Wqkv", "qkv_proj", "c_attn", "attn"})
_QUERY = frozenset({"q_proj", "query"})
_KEY = frozenset({"k_proj", "key"})
_VALUE = frozenset({"v_proj", "value"})
_PROJECTION = frozenset({"o_proj", "out_proj", "dense", "proj"})
_MLP = frozenset(
    {"gate_proj", "up_proj", "down_proj", "fc1", "fc2", "fc_1", "fc_2", "dense_h_to_4h", "dense_4h_to_h"}
)


@dataclass(frozen=True, slots=True)
class Targets:
    """Which parts LitGPT's `lora_*` options adapt."""

    query: bool
    key: bool
    value: bool
    projection: bool
    mlp: bool
    head: bool


def targets_of(lora: Lora) -> Targets:
    """Return the options that adapt these modules, named as in transformers; by default query and value.

    A fused projection stands for LitGPT's default, its query and value.
    """
    named = lora.target_modules
    if named == "all-linear":
        return Targets(query=True, key=True, value=True, projection=True, mlp=True, head=False)
    names = frozenset({named} if isinstance(named, str) else named or _QUERY | _VALUE)
    fused = bool(names & _FUSED)
    return Targets(
        query=fused or bool(names & _QUERY),
        key=bool(names & _KEY),
        value=fused or bool(names & _VALUE),
        projection=bool(names & _PROJECTION),
        mlp=bool(names & _MLP),
        head="lm_head" in names,
    )


class LoraLinear(Module):
    """`linear(x) + dropout(x) @ A @ B * scaling`."""

    def __init__(self, base: Stem, rank: int, p: float, dtype: DType) -> None:
        self.linear = base
        self.inputs, self.outputs = base.inputs, base.outputs
        self.p = p
        self._make(rank, base.outputs, base.weight.copies, dtype)

    def _make(self, rank: int, outputs: int, copies: int, dtype: DType) -> None:
        self.lora_A, self.lora_B = Parameter(rank, self.inputs), Parameter(outputs, rank)
        for parameter in (self.lora_A, self.lora_B):
            parameter.dtype, parameter.copies = dtype, copies

    def forward(self, x: Tensor) -> Tensor:
        """(…, in) to (…, out)."""
        pretrained: Tensor = self.linear(x)
        low = linear(dropout(x, self.p), parameter_tensor(self.lora_A))
        return pretrained + linear(low, parameter_tensor(self.lora_B)) * 2.0


class LoraFused(LoraLinear):
    """The adapter of the fused projection: what it leaves out of query, key and value is filled with zeros."""

    def __init__(self, attention: Attention, targets: Targets, lora: Lora, dtype: DType) -> None:
        base, shape = attention.attn, attention.shape
        self.linear = base
        self.inputs, self.outputs = base.inputs, base.outputs
        self.p = lora.dropout
        keys = shape.groups * shape.head * targets.key
        values = shape.groups * shape.head * targets.value
        sizes = (shape.heads * shape.head * targets.query, keys, values)
        self.sizes = [size for size in sizes if size]
        self.grouped = shape.groups != shape.heads
        self._make(lora.r * len(self.sizes), sum(self.sizes), base.weight.copies, dtype)
        self.lora_B.shape = (sum(self.sizes), lora.r)

    def forward(self, x: Tensor) -> Tensor:
        """(B, T, D) to (B, T, (N + 2K)·H)."""
        pretrained: Tensor = self.linear(x)
        low = linear(dropout(x, self.p), parameter_tensor(self.lora_A))
        return pretrained + self._padded(self._high(low)) * 2.0

    def _high(self, low: Tensor) -> Tensor:
        """A convolution with one group for each of query, key and value; with grouped heads, one each, joined."""
        weight = parameter_tensor(self.lora_B)
        if not self.grouped:
            return _grouped_product(low, weight, sum(self.sizes))
        inputs = split(low, [low.shape[-1] // len(self.sizes)] * len(self.sizes))
        weights = split(weight, self.sizes, axis=0)
        parts = [
            _grouped_product(part, piece, size)
            for part, piece, size in zip(inputs, weights, self.sizes, strict=True)
        ]
        return concatenate(parts, -1)

    def _padded(self, x: Tensor) -> Tensor:
        """`zeros.index_copy(1, indices, x)`, which saves the indices and x (derivatives.yaml)."""
        if len(self.sizes) == 3:  # noqa: PLR2004  query, key and value: nothing to fill
            return x
        tape = x.tape
        source = copy(x)
        del x
        zeros = tape.empty((*source.shape[:-1], self.outputs), source.dtype)
        indices = tape.empty((Dim(sum(self.sizes), "(N + K)·H"),), INT64)
        out = tape.empty(zeros.shape, zeros.dtype)
        return tape.record(out, (source,), _selected, (indices, source.detached()))


def _selected(node: Node, grads: Gradients) -> Gradients:
    grad = grads[0]
    assert grad is not None
    return (grad.tape.empty(node.inputs[0][2], grad.dtype),)


def _grouped_product(low: Tensor, weight: Tensor, outputs: int) -> Tensor:
    """`F.conv1d` of (B, ranks, T): saves both factors; its backward copies the gradient into their order."""
    out = low.tape.empty((*low.shape[:-1], outputs), low.dtype)
    return low.tape.record(out, (low, weight), _grouped_backward, (low, weight))


def _grouped_backward(node: Node, grads: Gradients) -> Gradients:
    grad = grads[0]
    assert grad is not None
    ordered = grad.tape.empty(grad.shape, grad.dtype)
    results = [grad.tape.empty(shape, grad.dtype) for _, _, shape, _ in node.inputs]
    del ordered
    return results


def adapt(model: Model, lora: Lora, dtype: DType) -> None:
    """Freeze a model of LitGPT and add adapters.

    Raises:
        CannotEstimate: for an adapter that LitGPT does not have, or targets that match nothing.
    """
    if lora.kind not in {"lora", "rslora"}:
        raise CannotEstimate(f"LitGPT has no adapter of kind {lora.kind!r} that is walked; lora is")
    targets = targets_of(lora)
    if targets == Targets(query=False, key=False, value=False, projection=False, mlp=False, head=False):
        raise CannotEstimate(
            f"no linear layer of LitGPT's model matches target_modules {lora.target_modules}"
        )
    for parameter in model.parameters():
        parameter.trainable = False
    dtype = dtype_named(lora.dtype) if lora.dtype else dtype
    for block in _blocks(model):
        _adapt_block(block, targets, lora, dtype)
    if targets.head:
        model.lm_head = LoraLinear(model.lm_head, lora.r, lora.dropout, dtype)  # type: ignore[attr-defined]


def _adapt_block(block: Block, targets: Targets, lora: Lora, dtype: DType) -> None:
    attention = block.attn
    if targets.query or targets.key or targets.value:
        attention.attn = LoraFused(attention, targets, lora, dtype)  # type: ignore[assignment]
    if targets.projection:
        attention.proj = LoraLinear(attention.proj, lora.r, lora.dropout, dtype)  # type: ignore[assignment]
    if targets.mlp:
        for name, child in list(block.mlp.children()):
            if isinstance(child, Stem):
                setattr(block.mlp, name, LoraLinear(child, lora.r, lora.dropout, dtype))


def _blocks(module: Module) -> list[Block]:
    blocks: list[Block] = []
    for _, child in module.children():
        if isinstance(child, Stack):
            blocks += [part.layer for part in child.parts if isinstance(part.layer, Block)]
        else:
            blocks += _blocks(child)
    return blocks
