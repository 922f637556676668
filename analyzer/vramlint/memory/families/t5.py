"""T5, mT5 and UMT5: relative position biases that the layers share (transformers 5.23, models/t5/modeling_t5.py)."""

from __future__ import annotations

from dataclasses import replace

from vramlint.memory.convolutional import ModuleList
from vramlint.memory.dtypes import BOOL, FLOAT32, INT64
from vramlint.memory.families.base import (
    Batch,
    Config,
    InputSpec,
    Model,
    Output,
    Regime,
    Sizes,
    UnsupportedTask,
)
from vramlint.memory.families.encoder import bidirectional_mask
from vramlint.memory.families.heads import class_loss
from vramlint.memory.families.layers import KeyValueCache, causal_mask, split_heads
from vramlint.memory.families.seq2seq import Surroundings, seq2seq_inputs, shared_stack, shifted_right
from vramlint.memory.modules import Dropout, Embedding, Linear, Module, Parameter, parameter_tensor
from vramlint.memory.operators.activations import activation
from vramlint.memory.operators.attention import sdpa
from vramlint.memory.operators.elementwise import (
    cast,
    contiguous,
    dropout,
    masked_fill,
    mean_last,
    power,
    reshape,
    rsqrt,
)
from vramlint.memory.operators.matmul import batched
from vramlint.memory.operators.softmax import softmax
from vramlint.memory.tape import Dim, Tensor

MODEL_TYPES = ("t5", "mt5", "umt5")

DEFAULTS = {
    "vocab_size": 32_128,
    "d_model": 512,
    "d_kv": 64,
    "d_ff": 2048,
    "num_layers": 6,
    "num_heads": 8,
    "relative_attention_num_buckets": 32,
    "dropout_rate": 0.1,
    "feed_forward_proj": "relu",
}
_MT5_DEFAULTS = {
    **DEFAULTS,
    "vocab_size": 250_112,
    "d_ff": 1024,
    "num_layers": 8,
    "num_heads": 6,
    "feed_forward_proj": "gated-gelu",
}


class Norm(Module):
    """T5LayerNorm: RMS norm, the variance in fp32."""

    label = "norm"

    def __init__(self, width: int) -> None:
        self.weight = Parameter(width)

    def forward(self, x: Tensor) -> Tensor:
        """Normalize the last dimension."""
        weight = parameter_tensor(self.weight)
        variance = mean_last(power(cast(x, FLOAT32)))
        x = x * rsqrt(variance + 1e-6)
        if weight.dtype.is_half:
            x = cast(x, weight.dtype)
        return weight * x


class Attention(Module):
    """Attention whose scores get a bias: of relative positions, or zeros."""

    label = "attention"

    def __init__(self, config: Config, *, relative: bool, causal: bool) -> None:
        width = config.size("D", "d_model")
        self.heads = config.size("N", "num_heads")
        self.head = config.size("H", "d_kv")
        self.causal = causal
        inner = Dim(self.heads * self.head, "N·H")
        self.q, self.k, self.v = (Linear(width, inner, bias=False) for _ in range(3))
        self.o = Linear(inner, width, bias=False)
        if relative:
            buckets = config.size("R", "relative_attention_num_buckets")
            self.relative_attention_bias = Embedding(buckets, self.heads)
        self.p = config.get("dropout_rate")

    def make_bias(self, query: Tensor, seen: int) -> Tensor:
        """Return the bias (1, N, T, S), for queries of shape (B, N, T, H) or (B, T, D)."""
        length, keys = query.shape[-2], Dim(seen, "S")
        relative = vars(self).get("relative_attention_bias")
        if relative is None:
            return query.tape.empty((1, self.heads, length, keys), query.dtype)
        values = relative(query.tape.empty((length, keys), INT64))
        values = values.view(1, self.heads, length, keys)
        values.contiguous = False
        return values  # type: ignore[no-any-return]

    def forward(
        self, x: Tensor, source: Tensor, mask: Tensor | None, bias: Tensor | None, around: Surroundings
    ) -> tuple[Tensor, Tensor | None]:
        """(B, T, D) to (B, T, D), with keys from `source`; and the attention weights if there are any."""
        query = split_heads(self.q(x), self.heads, self.head)
        key = split_heads(self.k(source), self.heads, self.head)
        value = split_heads(self.v(source), self.heads, self.head)
        if around.cache is not None:
            key, value = around.cache.update(key, value)
        if bias is None:
            bias = self.make_bias(query, key.shape[2])
        weights = None
        if around.regime.attention == "eager":
            out, weights = _eager(query, key, value, mask, bias, p=self.p)
        else:
            out = _fused(query, key, value, mask, bias, causal=self.causal)
        out = reshape(out, *x.shape[:-1], self.heads * self.head)
        out = self.o(out)
        return out, weights


def _fused(
    query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None, bias: Tensor, *, causal: bool
) -> Tensor:
    """SDPA with the bias as an additive mask (integrations/sdpa_attention.py, create_position_bias_mask)."""
    additive = _additive(bias, mask, causal=causal)
    out = sdpa(query, key, value, additive)
    return contiguous(out.transposed(1, 2))


def _additive(bias: Tensor, mask: Tensor | None, *, causal: bool) -> Tensor:
    if mask is None and causal:
        mask = bias.tape.empty((1, 1, *bias.shape[2:]), BOOL)
    if mask is None:
        combined = bias
    elif mask.dtype is BOOL:
        combined = masked_fill(bias, mask)
        combined.contiguous = bias.contiguous
    else:
        combined = bias + mask
    return contiguous(combined)


def _eager(
    query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None, bias: Tensor, *, p: float
) -> tuple[Tensor, Tensor]:
    weights = batched(query, key.transposed(2, 3)) * 1.0
    weights = weights + bias
    if mask is not None:
        weights = weights + mask
    weights = softmax(weights)
    weights = dropout(weights, p)
    return contiguous(batched(weights, value).transposed(1, 2)), weights


class SelfAttention(Module):
    """Pre-norm self-attention and its residual."""

    label = "residual stream"

    def __init__(self, config: Config, *, relative: bool, causal: bool) -> None:
        self.SelfAttention = Attention(config, relative=relative, causal=causal)
        self.layer_norm = Norm(config.size("D", "d_model"))
        self.dropout = Dropout(config.get("dropout_rate"))

    def forward(self, hidden: Tensor, around: Surroundings) -> tuple[Tensor, Tensor | None]:
        """(B, T, D) to (B, T, D), and the attention weights."""
        normed = self.layer_norm(hidden)
        out, weights = self.SelfAttention(normed, normed, around.mask, around.bias, around)
        out = hidden + self.dropout(out)
        return out, weights


class CrossAttention(Module):
    """Pre-norm attention to the encoder's output and its residual."""

    label = "residual stream"

    def __init__(self, config: Config) -> None:
        self.EncDecAttention = Attention(config, relative=False, causal=False)
        self.layer_norm = Norm(config.size("D", "d_model"))
        self.dropout = Dropout(config.get("dropout_rate"))

    def forward(self, hidden: Tensor, around: Surroundings) -> tuple[Tensor, Tensor | None]:
        """(B, T, D) to (B, T, D), and the attention weights."""
        normed = self.layer_norm(hidden)
        out, weights = self.EncDecAttention(
            normed, around.encoded, around.cross_mask, around.cross_bias, around
        )
        out = hidden + self.dropout(out)
        return out, weights


class Dense(Module):
    """Two linear layers, or three with a gate."""

    label = "mlp"

    def __init__(self, config: Config) -> None:
        width, inner = config.size("D", "d_model"), config.size("F", "d_ff")
        kind = config.get("feed_forward_proj")
        self.gated = kind.startswith("gated")
        if self.gated:
            self.wi_0, self.wi_1 = Linear(width, inner, bias=False), Linear(width, inner, bias=False)
        else:
            self.wi = Linear(width, inner, bias=False)
        self.wo = Linear(inner, width, bias=False)
        self.dropout = Dropout(config.get("dropout_rate"))
        self.act = activation("gelu_new" if kind == "gated-gelu" else kind.split("-")[-1])

    def forward(self, hidden: Tensor) -> Tensor:
        """(B, T, D) to (B, T, D); the last layer's input is cast to its weight's type."""
        if self.gated:
            gate = self.act(self.wi_0(hidden))
            up = self.wi_1(hidden)
            hidden = gate * up
        else:
            hidden = self.wi(hidden)
            hidden = self.act(hidden)
        hidden = self.dropout(hidden)
        if self.wo.weight.dtype.floating:
            hidden = cast(hidden, self.wo.weight.dtype)
        return self.wo(hidden)  # type: ignore[no-any-return]


class FeedForward(Module):
    """Pre-norm MLP and its residual."""

    label = "residual stream"

    def __init__(self, config: Config) -> None:
        self.DenseReluDense = Dense(config)
        self.layer_norm = Norm(config.size("D", "d_model"))
        self.dropout = Dropout(config.get("dropout_rate"))

    def forward(self, hidden: Tensor) -> Tensor:
        """(B, T, D) to (B, T, D)."""
        out = self.layer_norm(hidden)
        out = self.DenseReluDense(out)
        return hidden + self.dropout(out)  # type: ignore[no-any-return]


class Block(Module):
    """A layer of the encoder, or of the decoder."""

    def __init__(self, config: Config, *, relative: bool, decoder: bool) -> None:
        attention = SelfAttention(config, relative=relative, causal=decoder)
        cross = (CrossAttention(config),) if decoder else ()
        self.layer = ModuleList(attention, *cross, FeedForward(config))

    def forward(self, hidden: Tensor, around: Surroundings) -> Tensor:
        """(B, T, D) to (B, T, D)."""
        *attentions, feed_forward = self.layer
        weights = None
        for attention in attentions:
            hidden, weights = attention(hidden, around)
        hidden = feed_forward(hidden)
        del weights  # the caller's variable lives to its end
        return hidden


class T5Stack(Module):
    """Embedding, layers and final norm of the encoder or the decoder."""

    shares_bias = True

    def __init__(self, config: Config, tokens: Embedding, count: int, *, decoder: bool) -> None:
        self.embed_tokens = tokens
        every = not self.shares_bias
        self.block = shared_stack(count, lambda i: Block(config, relative=every or i == 0, decoder=decoder))
        self.final_layer_norm = Norm(config.size("D", "d_model"))
        self.dropout = Dropout(config.get("dropout_rate"))
        self.decoder = decoder

    def forward(self, ids: Tensor, around: Surroundings) -> Tensor:
        """(B, T) token ids to (B, T, D)."""
        embeds = self.embed_tokens(ids)
        mask = (
            causal_mask(embeds, around.regime) if self.decoder else bidirectional_mask(embeds, around.regime)
        )
        hidden = self.dropout(embeds)
        around = replace(around, mask=mask)
        if self.shares_bias:
            around = self._with_biases(around, hidden)
        hidden = self.block(hidden, around)
        hidden = self.final_layer_norm(hidden)
        return self.dropout(hidden)  # type: ignore[no-any-return]

    def _with_biases(self, around: Surroundings, hidden: Tensor) -> Surroundings:
        """Make the biases that the first layer hands to the others."""
        first = self.block.parts[0].layer
        assert isinstance(first, Block)
        attention, *others = first.layer
        assert isinstance(attention, SelfAttention)
        bias = attention.SelfAttention.make_bias(hidden, hidden.shape[1])
        if around.encoded is None:
            return replace(around, bias=bias)
        cross = others[0]
        assert isinstance(cross, CrossAttention)
        query_dtype = hidden.tape.autocast or hidden.dtype
        shape = (1, cross.EncDecAttention.heads, hidden.shape[1], around.encoded.shape[1])
        return replace(around, bias=bias, cross_bias=hidden.tape.empty(shape, query_dtype))


class OwnBiasStack(T5Stack):
    """UMT5's stack: every layer has a relative bias of its own."""

    shares_bias = False


class Seq2SeqLM(Model):
    """Encoder, decoder and language-modelling head."""

    def __init__(self, config: Config, stack: type[T5Stack], *, scaled: bool) -> None:
        layers = config.size("L", "num_layers")
        width, vocabulary = config.size("D", "d_model"), config.size("V", "vocab_size")
        self.shared = Embedding(vocabulary, width)
        self.encoder = stack(config, self.shared, layers, decoder=False)
        decoder_layers = config.size("L", "num_decoder_layers", default=layers)
        self.decoder = stack(config, self.shared, decoder_layers, decoder=True)
        self.lm_head = Linear(width, vocabulary, bias=False)
        tied = config.get("tie_word_embeddings", default=True)
        if tied:
            self.lm_head.weight = self.shared.weight
        self.scaled = scaled and tied

    def inputs(self, sizes: Sizes) -> tuple[InputSpec, ...]:
        """Return token ids and labels."""
        return seq2seq_inputs(sizes)

    def forward(self, batch: Batch, regime: Regime) -> Output:
        """Return the loss over the target tokens."""
        encoded = self.encoder(batch["input_ids"], Surroundings(regime))
        ids = shifted_right(batch["labels"])
        uses_cache = regime.use_cache and not self.decoder.block.checkpointed
        cache = KeyValueCache() if uses_cache else None
        mask = bidirectional_mask(encoded, regime) if regime.padding_mask else None
        hidden = self.decoder(ids, Surroundings(regime, encoded=encoded, cross_mask=mask, cache=cache))
        hidden.tape.arena.label = "logits"
        if self.scaled:
            hidden = hidden * 0.5
        logits = self.lm_head(hidden)
        logits.tape.arena.label = "loss"
        return Output(class_loss(logits, batch["labels"], regime), logits, cache.tensors if cache else [])


def build(config: Config, task: str) -> Model:
    """Build the model of a config for a task."""
    if task != "seq2seq-lm":
        raise UnsupportedTask(task)
    kind = config.get("model_type", "t5")
    config = config.completed(DEFAULTS if kind == "t5" else _MT5_DEFAULTS)
    return Seq2SeqLM(config, OwnBiasStack if kind == "umt5" else T5Stack, scaled=kind != "mt5")
