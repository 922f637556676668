"""Parts that several families share: rotary embeddings, the attention interface, the cache, the loss.

They mirror transformers 5.23 (integrations/sdpa_attention.py, cache_utils.py, loss/loss_utils.py).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from vramlint.memory.dtypes import BOOL, FLOAT32, INT64, DType
from vramlint.memory.modules import Buffer, Module
from vramlint.memory.operators.attention import repeat_heads, sdpa
from vramlint.memory.operators.elementwise import (
    cast,
    concatenate,
    contiguous,
    dropout,
    expand,
    narrow,
    negate,
    subtract,
    unary_saving_result,
)
from vramlint.memory.operators.matmul import batched
from vramlint.memory.operators.softmax import cross_entropy, softmax
from vramlint.memory.tape import Dim, Tensor

if TYPE_CHECKING:
    from collections.abc import Callable

    from vramlint.memory.families.base import Logits, Regime


class Rotary(Module):
    """Rotary position embeddings: two small fp32 buffers, and cosines and sines of shape (1, T, rotated size)."""

    label = "rotary embedding"

    def __init__(self, size: int, dtype: DType | None = None) -> None:
        self.dtype = dtype
        self.inv_freq = Buffer(size // 2)
        self.original_inv_freq = Buffer(size // 2)
        self.size = size

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return cosine and sine in the type of x, or the given one, computed without gradient."""
        tape, length, dtype = x.tape, x.shape[1], self.dtype or x.dtype
        with tape.no_grad():
            angles = tape.empty((1, length, self.size), FLOAT32)
            cosine = cast(tape.empty(angles.shape, FLOAT32), dtype)
            sine = cast(tape.empty(angles.shape, FLOAT32), dtype)
        if tape.prefix is not None:
            tape.prefix.hold(cosine, sine)
        return cosine, sine


def rotate_half(x: Tensor) -> Tensor:
    """Swap the two halves of the last dimension and negate one."""
    half = x.shape[-1] // 2
    first, second = narrow(x, -1, half), narrow(x, -1, half)
    return concatenate([negate(second), first], -1)


def rotate(x: Tensor, cosine: Tensor, sine: Tensor) -> Tensor:
    """Apply rotary embeddings to (B, heads, T, H)."""
    _, length, size = cosine.shape
    cosine, sine = cosine.view(1, 1, length, size), sine.view(1, 1, length, size)
    return (x * cosine) + (rotate_half(x) * sine)


def rotate_part(x: Tensor, cosine: Tensor, sine: Tensor) -> Tensor:
    """Apply rotary embeddings to the first part of each head; the rest is copied beside it."""
    _, length, size = cosine.shape
    cosine, sine = cosine.view(1, 1, length, size), sine.view(1, 1, length, size)
    rotated = narrow(x, -1, size)
    passed = narrow(x, -1, x.shape[-1] - size)
    return concatenate([(rotated * cosine) + (rotate_half(rotated) * sine), passed], -1)


def rotate_pairs(x: Tensor, cosine: Tensor, sine: Tensor) -> Tensor:
    """Turn neighbours in pairs, and return them as halves (DeepSeek V3)."""
    _, length, size = cosine.shape
    cosine, sine = (part.view(1, 1, length, size) for part in (cosine, sine))
    with x.tape.no_grad():
        cosine, sine = narrow(cosine, -1, size // 2), narrow(sine, -1, size // 2)
    first, second = narrow(x, -1, size // 2), narrow(x, -1, size // 2)
    return concatenate([subtract(first * cosine, second * sine), (second * cosine) + (first * sine)], -1)


def repeated_pairs(x: Tensor) -> Tensor:
    """Return cosines or sines laid out anew for heads whose neighbours turn in pairs: a copy in each layer."""
    return x.tape.empty(x.shape, x.dtype)


class KeyValueCache:
    """transformers' DynamicCache: concatenates keys and values of each layer, so it holds copies."""

    def __init__(self) -> None:
        self.tensors: list[Tensor] = []

    def update(self, key: Tensor, value: Tensor) -> tuple[Tensor, Tensor]:
        """Append to the layer's cache, and return what attention is to use.

        The empty tensors that it starts from have the keys' type, so values take that type too.
        """
        prefix = key.tape.prefix
        if prefix is not None:
            keys, values = prefix.before(key), prefix.before(value)
        else:
            empty = key.tape.empty((0,), key.dtype)
            keys, values = _appended(empty, key), _appended(empty, value)
        self.tensors += [keys, values]
        return keys, values


class ReturnedWeights:
    """Attention weights that layers return though nobody asks for them.

    A layer's own variable holds them to its end, and then the loop over the layers until the next layer has returned
    its own. Where the graph saves them anyway, nothing is to be held.
    """

    def __init__(self) -> None:
        self.made: Tensor | None = None
        self.returned: Tensor | None = None

    def make(self, weights: Tensor) -> None:
        """Take the weights of the layer that is at work."""
        self.made = weights if weights.node is None else None
        if self.made is None and weights.tape.other_outputs is not None:
            weights.tape.other_outputs += [weights, weights.tape.empty(weights.shape, weights.dtype)]

    def give(self) -> None:
        """End a layer: what the one before returned is free now."""
        self.returned, self.made = self.made, None
        if (
            self.returned is not None
        ):  # the next copy of a repeat region releases it, or what comes behind the region
            self.returned.storage.regions = self.returned.tape.arena.regions[:-1]

    def release(self) -> None:
        """End the model's forward."""
        self.returned = None


def _appended(empty: Tensor, states: Tensor) -> Tensor:
    dtype = empty.dtype if empty.dtype.bits > states.dtype.bits else states.dtype
    if dtype is states.dtype:
        return concatenate([states], -2)
    out = states.tape.empty(states.shape, dtype)
    return states.tape.record(out, (states,), lambda _, grads: grads)


def causal_mask(x: Tensor, regime: Regime) -> Tensor | None:
    """Return the mask that the layers get (masking_utils.py): none for SDPA and flash without padding.

    SDPA with padding gets a boolean (B, 1, T, T), eager attention an additive one in the type of x.
    """
    batch, length = x.shape[0], x.shape[1]
    prefix = x.tape.prefix
    keys = Dim(length, "T") if prefix is None else Dim(length + prefix.tokens, "T+v")
    if regime.attention == "eager":
        return x.tape.empty((batch, 1, length, keys), x.dtype)
    if regime.attention == "sdpa" and (regime.padding_mask or prefix is not None):
        return x.tape.empty((batch, 1, length, keys), BOOL)
    return None


def sliding_mask(x: Tensor, regime: Regime, window: int | None) -> Tensor | None:
    """Return the mask of layers that see a window of tokens: a causal one unless SDPA gets a longer sequence.

    Then it is a boolean (T, T) that is expanded over the batch.
    """
    length = x.shape[1]
    if regime.attention != "sdpa" or regime.padding_mask or window is None or length < window:
        return causal_mask(x, regime)
    mask = x.tape.empty((1, 1, length, Dim(length, "T")), BOOL)
    return expand(mask, x.shape[0], 1, length, length)


def attend(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    mask: Tensor | None,
    regime: Regime,
    *,
    p: float = 0.0,
    causal: bool = True,
    upcast: bool = True,
    capped: bool = False,
) -> Tensor:
    """Attention on (B, heads, T, H); returns (B, T, heads, H) in contiguous order.

    `upcast` says whether the eager form asks softmax for fp32, as most families do, `capped` whether it puts
    the scores through a tanh.
    """
    if regime.attention == "eager":
        return _eager(query, key, value, mask, p, FLOAT32 if upcast else None, capped=capped)
    if mask is not None:
        key, value = repeat_heads(key, query.shape[1]), repeat_heads(value, query.shape[1])
    causal = causal and mask is None
    out = sdpa(query, key, value, mask, dropout=p, causal=causal, kernel=regime.kernel)
    return contiguous(out.transposed(1, 2))


def _eager(  # noqa: PLR0917
    query: Tensor,
    key: Tensor,
    value: Tensor,
    mask: Tensor | None,
    p: float,
    dtype: DType | None,
    *,
    capped: bool,
) -> Tensor:
    key, value = repeat_heads(key, query.shape[1]), repeat_heads(value, query.shape[1])
    weights = batched(query, contiguous(key).transposed(2, 3)) * 1.0
    if capped:
        weights = cap(weights)
    if mask is not None:
        weights = weights + mask
    weights = cast(softmax(weights, dtype), query.dtype if dtype else value.dtype)
    weights = dropout(weights, p)
    return contiguous(batched(weights, contiguous(value)).transposed(1, 2))


def cap(x: Tensor) -> Tensor:
    """Soft capping as transformers writes it: divide, tanh, multiply."""
    x = x * 1.0
    x = unary_saving_result(x)
    return x * 1.0


def split_heads(x: Tensor, heads: int, size: int) -> Tensor:
    """(B, T, heads·H) to (B, heads, T, H), a view."""
    batch, length, _ = x.shape
    return x.view(batch, length, heads, size).transposed(1, 2)


def causal_lm_loss(
    logits: Tensor, form: Logits = "upcast", entropy: Callable[[Tensor, Tensor], Tensor] = cross_entropy
) -> Tensor:
    """ForCausalLMLoss (loss/loss_utils.py): cross-entropy over all rows, in fp32, with padded and shifted labels.

    Before transformers 4.49 the logits were shifted instead, by a copy.
    """
    arena = logits.tape.arena
    arena.label = "loss"
    if not form.startswith("own"):
        logits = cast(logits, FLOAT32)
    batch, length, vocabulary = logits.shape
    if form.endswith("copied"):
        copied = contiguous(narrow(logits, 1, length - 1))
        return entropy(copied, logits.tape.empty((batch, length - 1), INT64))
    padded = logits.tape.empty((batch, length + 1), INT64)
    shifted = logits.tape.empty((batch, length), INT64)
    loss = entropy(logits.view(batch, length, vocabulary), shifted)
    del padded  # the function's variable lives to its end
    return loss
