"""LitGPT's own GPT, which it uses for every family: one projection for query, key and value.

Sources: lit-gpt 8641822 (October 2023) and litgpt 0.5.13, model.py, lora.py and utils.py. Rotary embeddings are
kept in fp32 or fp16, so that rotated queries and keys are fp32 until they are cast back.
"""

from __future__ import annotations

from dataclasses import dataclass

from vramlint.memory.dtypes import FLOAT16, FLOAT32, INT64
from vramlint.memory.families.base import Batch, Config, Model, Output, Regime, UnsupportedTask
from vramlint.memory.families.heads import LANGUAGE_MODELLING
from vramlint.memory.families.layers import KeyValueCache, rotate_half
from vramlint.memory.modules import Embedding, LayerNorm, Linear, Module, RMSNorm, Stack, parameter_tensor
from vramlint.memory.operators.activations import activation
from vramlint.memory.operators.attention import sdpa
from vramlint.memory.operators.elementwise import (
    cast,
    concatenate,
    contiguous,
    expand,
    mean_last,
    narrow,
    reshape,
    rsqrt,
    split,
    total,
)
from vramlint.memory.operators.normalization import rms_norm_fp32
from vramlint.memory.operators.softmax import cross_entropy
from vramlint.memory.tape import Dim, Tensor

_CHUNK = 128  # rows of logits at a time (lm_head_chunk_size, and chunk_size of chunked_cross_entropy)


@dataclass(frozen=True, slots=True)
class Shape:
    """What distinguishes the families in LitGPT's config."""

    width: Dim
    heads: Dim
    groups: Dim
    head: Dim
    inner: Dim
    rotated: int
    rms: bool = False
    gated: bool = False
    bias: bool = False
    head_bias: bool = False
    parallel: bool = False
    shared_norm: bool = False
    upcasts_norm: bool = True


_GATED = frozenset({"llama", "mistral"})
_ROTATED = {"phi": 0.5, "gpt_neox": 0.25}


def knows(config: Config) -> bool:
    """Return whether LitGPT's form of this family is described here."""
    return config.get("model_type") in _GATED | {"phi", "gpt_neox", "falcon"}


def shape_of(config: Config, *, upcasts_norm: bool) -> Shape:
    """Return LitGPT's shape of a Hugging Face config."""
    kind = config.get("model_type")
    width, heads = config.size("D", "hidden_size"), config.size("N", "num_attention_heads")
    head = config.size("H", "head_dim", default=width // heads)
    share = config.get("partial_rotary_factor") or config.get("rotary_pct") or _ROTATED.get(kind, 1.0)
    parallel = kind in {"phi", "falcon"} or bool(
        config.get("use_parallel_residual", default=kind == "gpt_neox")
    )
    return Shape(
        width=width,
        heads=heads,
        groups=_groups(config, heads),
        head=head,
        inner=config.size("F", "intermediate_size", default=4 * width),
        rotated=int(head * share),
        rms=kind in _GATED,
        gated=kind in _GATED,
        bias=kind in {"phi", "gpt_neox"},
        head_bias=kind == "phi",
        parallel=parallel,
        shared_norm=kind == "phi" or (kind == "falcon" and not config.get("new_decoder_architecture")),
        upcasts_norm=upcasts_norm,
    )


def _groups(config: Config, heads: Dim) -> Dim:
    if config.get("model_type") == "falcon" and not config.get("new_decoder_architecture"):
        return Dim(1, "K")
    return config.size("K", "num_key_value_heads", "num_kv_heads", default=heads)


class EarlyRMSNorm(RMSNorm):
    """The norm before October 2023, in the type of its input."""

    def forward(self, x: Tensor) -> Tensor:
        """Normalize the last dimension."""
        normed = x * rsqrt(mean_last(x * x) + 1e-6)
        return parameter_tensor(self.weight) * normed


class UpcastRMSNorm(RMSNorm):
    """The norm since then, in fp32."""

    def forward(self, x: Tensor) -> Tensor:
        """Normalize the last dimension."""
        return rms_norm_fp32(x, parameter_tensor(self.weight))


class Attention(Module):
    """Attention on one projection, `attn`, in which each group's queries, key and value lie side by side."""

    label = "attention"

    def __init__(self, shape: Shape) -> None:
        self.shape = shape
        fused = Dim((shape.heads + 2 * shape.groups) * shape.head, "(N + 2K)·H")
        self.attn = Linear(shape.width, fused, bias=shape.bias)
        self.proj = Linear(Dim(shape.heads * shape.head, "N·H"), shape.width, bias=shape.bias)

    def forward(self, x: Tensor, positions: tuple[Tensor, Tensor], cache: KeyValueCache | None) -> Tensor:
        """(B, T, D) to (B, T, D)."""
        shape = self.shape
        batch, length, _ = x.shape
        each = shape.heads // shape.groups
        fused = self.attn(x).view(batch, shape.groups, each + 2, length, shape.head)
        query, key, value = split(fused, (each, 1, 1), axis=2)
        del fused
        key, value = self._heads(key, each), self._heads(value, each)
        query = self._merged(query)
        query, key = self._placed(query, positions), self._placed(key, positions)
        if cache is not None:
            key, value = cache.update(key, value)
        out = sdpa(query, key, value, causal=True)
        out = reshape(contiguous(out.transposed(1, 2)), batch, length, shape.heads * shape.head)
        return self.proj(out)  # type: ignore[no-any-return]

    def _heads(self, x: Tensor, each: int) -> Tensor:
        if each > 1:
            batch, groups, _, length, size = x.shape
            x = expand(x, batch, groups, each, length, size)
        return self._merged(x)

    def _merged(self, x: Tensor) -> Tensor:
        """Join groups and heads: a view where one of them is one, else a copy."""
        batch, groups, each, length, size = x.shape
        if groups > 1 and each > 1:
            x = contiguous(x)
        return x.view(batch, groups * each, length, size)

    def _placed(self, x: Tensor, positions: tuple[Tensor, Tensor]) -> Tensor:
        """Rotate the first part of each head in the positions' type, and put the rest beside it."""
        size = self.shape.rotated
        first = narrow(x, -1, size)
        cosine, sine = positions
        rotated = cast((first * cosine) + (rotate_half(first) * sine), x.dtype)
        return concatenate([rotated, _rest(x, size)], -1)


def _rest(x: Tensor, size: int) -> Tensor:
    """`x[..., size:]`, which may be empty, but is a view with a gradient of x's shape even so."""
    left = x.shape[-1] - size
    return narrow(x, -1, left)


class GatedMLP(Module):
    """`proj(silu(fc_1(x)) * fc_2(x))`."""

    label = "mlp"

    def __init__(self, shape: Shape) -> None:
        self.fc_1 = Linear(shape.width, shape.inner, bias=shape.bias)
        self.fc_2 = Linear(shape.width, shape.inner, bias=shape.bias)
        self.proj = Linear(shape.inner, shape.width, bias=shape.bias)
        self.act = activation("silu")

    def forward(self, x: Tensor) -> Tensor:
        """(B, T, D) to (B, T, D)."""
        gate, up = self.fc_1(x), self.fc_2(x)
        x = self.act(gate) * up
        return self.proj(x)  # type: ignore[no-any-return]


class PlainMLP(Module):
    """`proj(gelu(fc(x)))`."""

    label = "mlp"

    def __init__(self, shape: Shape) -> None:
        self.fc = Linear(shape.width, shape.inner, bias=shape.bias)
        self.proj = Linear(shape.inner, shape.width, bias=shape.bias)
        self.act = activation("gelu")

    def forward(self, x: Tensor) -> Tensor:
        """(B, T, D) to (B, T, D)."""
        x = self.fc(x)
        x = self.act(x)
        return self.proj(x)  # type: ignore[no-any-return]


class Block(Module):
    """Attention and MLP, one after the other or side by side."""

    label = "residual stream"

    def __init__(self, shape: Shape) -> None:
        self.shape = shape
        self.norm_1 = _norm(shape)
        self.attn = Attention(shape)
        if not shape.shared_norm:
            self.norm_2 = _norm(shape)
        self.mlp: Module = GatedMLP(shape) if shape.gated else PlainMLP(shape)

    def forward(self, x: Tensor, positions: tuple[Tensor, Tensor], cache: KeyValueCache | None) -> Tensor:
        """(B, T, D) to (B, T, D)."""
        normed = self.norm_1(x)
        attended: Tensor = self.attn(normed, positions, cache)
        if self.shape.parallel:
            normed = normed if self.shape.shared_norm else self.norm_2(x)
            fed_forward: Tensor = self.mlp(normed)
            return (x + attended) + fed_forward
        x = x + attended
        fed_forward = self.mlp(self.norm_2(x))
        return x + fed_forward


def _norm(shape: Shape) -> Module:
    if not shape.rms:
        return LayerNorm(shape.width)
    return UpcastRMSNorm(shape.width) if shape.upcasts_norm else EarlyRMSNorm(shape.width)


class Transformer(Module):
    """Embedding, blocks, final norm."""

    def __init__(self, config: Config, shape: Shape) -> None:
        self.wte = Embedding(config.size("V", "vocab_size"), shape.width)
        self.h = Stack(config.size("L", "num_hidden_layers"), lambda _: Block(shape))
        self.ln_f = _norm(shape)
        self.rotated = shape.rotated

    def forward(self, ids: Tensor, cache: KeyValueCache | None) -> Tensor:
        """(B, T) token ids to (B, T, D)."""
        x = self.wte(ids)
        size = (ids.shape[1], self.rotated)
        kept = FLOAT16 if x.dtype.is_half else FLOAT32
        positions = ids.tape.empty(size, kept), ids.tape.empty(size, kept)
        return self.ln_f(self.h(x, positions, cache))  # type: ignore[no-any-return]


class GPT(Model):
    """The model; its head is never tied to the embedding.

    With `loss` "chunked", as fine-tuning of adapters has it, the head works on pieces of the sequence, and all
    pieces of the logits are kept; otherwise the cross-entropy alone goes in pieces. Fabric casts what a model
    returns to fp32 (fabric/plugins/precision/half.py, convert_output).
    """

    def __init__(self, config: Config, shape: Shape) -> None:
        self.lm_head = Linear(shape.width, config.size("V", "vocab_size"), bias=shape.head_bias)
        self.transformer = Transformer(config, shape)

    def forward(self, batch: Batch, regime: Regime) -> Output:
        """Return the loss of next-token prediction, or in generation the logits of the whole prompt."""
        ids = batch["input_ids"]
        cache = KeyValueCache() if regime.generates else None
        hidden = self.transformer(ids, cache)
        hidden.tape.arena.label = "logits"
        if cache is not None:
            return Output(None, self.lm_head(hidden), cache.tensors)
        rows = ids.shape[1]
        if regime.loss != "chunked":
            logits = cast(self.lm_head(hidden), FLOAT32)
            return Output(_mean_loss(_pieces(contiguous(narrow(logits, 1, rows - 1)), 1)), logits)
        pieces = [self.lm_head(piece) for piece in _pieces(hidden, 1)]
        pieces = [cast(piece, FLOAT32) for piece in pieces]
        pieces[-1] = narrow(pieces[-1], 1, pieces[-1].shape[1] - 1)
        return Output(_mean_loss(pieces), None, pieces)


def _pieces(x: Tensor, axis: int) -> list[Tensor]:
    """`x.split(128)` along the sequence."""
    length = x.shape[axis]
    sizes = [_CHUNK] * (length // _CHUNK) + ([length % _CHUNK] if length % _CHUNK else [])
    return split(x, sizes, axis=axis)


def _mean_loss(pieces: list[Tensor]) -> Tensor:
    """chunked_cross_entropy: one loss per row in each piece, joined and averaged."""
    pieces[0].tape.arena.label = "loss"
    losses = [_row_losses(piece) for piece in pieces]
    return total(concatenate(losses, 0))


def _row_losses(logits: Tensor) -> Tensor:
    rows = logits.shape[0] * logits.shape[1]
    logits = contiguous(logits).view(rows, logits.shape[-1])
    targets = logits.tape.empty((rows,), INT64)
    return cross_entropy(logits, targets, shape=(rows,))


def build(config: Config, task: str, *, upcasts_norm: bool) -> Model:
    """Build LitGPT's model of a Hugging Face config; `upcasts_norm` says whether its RMS norm works in fp32.

    Raises:
        UnsupportedTask: for a task other than language modelling.
    """
    shape = shape_of(config, upcasts_norm=upcasts_norm)
    if task not in LANGUAGE_MODELLING:
        raise UnsupportedTask(task)
    return GPT(config, shape)
