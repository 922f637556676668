"""BART, mBART, PLBART, Pegasus, Marian, M2M-100 and BlenderBot: one encoder-decoder with small differences.

transformers 5.23, models/bart, mbart, plbart, pegasus, marian, m2m_100, blenderbot and blenderbot_small.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from vramlint.memory.dtypes import BOOL, INT64
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
from vramlint.memory.families.encoder import attend_everywhere, bidirectional_mask
from vramlint.memory.families.heads import class_inputs, class_loss
from vramlint.memory.families.layers import causal_mask, split_heads
from vramlint.memory.families.roberta import counted_positions
from vramlint.memory.families.seq2seq import Surroundings, seq2seq_inputs, shared_stack, shifted_right
from vramlint.memory.modules import (
    Dropout,
    Embedding,
    FloatBuffer,
    LayerNorm,
    Linear,
    Module,
    Parameter,
    Stack,
    parameter_tensor,
)
from vramlint.memory.operators.activations import activation
from vramlint.memory.operators.elementwise import dropout, reshape, unary_saving_result
from vramlint.memory.operators.indexing import take_rows
from vramlint.memory.operators.matmul import embedding
from vramlint.memory.tape import Dim, Tensor

MODEL_TYPES = (
    "bart",
    "blenderbot",
    "blenderbot-small",
    "m2m_100",
    "marian",
    "mbart",
    "pegasus",
    "plbart",
)

_DEFAULTS: dict[str, Any] = {
    "vocab_size": 50_265,
    "max_position_embeddings": 1024,
    "encoder_layers": 12,
    "encoder_ffn_dim": 4096,
    "encoder_attention_heads": 16,
    "decoder_layers": 12,
    "decoder_ffn_dim": 4096,
    "decoder_attention_heads": 16,
    "activation_function": "gelu",
    "d_model": 1024,
    "dropout": 0.1,
    "attention_dropout": 0.0,
    "activation_dropout": 0.0,
}
_OWN_DEFAULTS: dict[str, dict[str, Any]] = {
    "blenderbot": {
        "vocab_size": 8008,
        "max_position_embeddings": 128,
        "encoder_layers": 2,
        "encoder_ffn_dim": 10240,
        "encoder_attention_heads": 32,
        "decoder_layers": 24,
        "decoder_ffn_dim": 10240,
        "decoder_attention_heads": 32,
        "d_model": 2560,
    },
    "blenderbot-small": {
        "max_position_embeddings": 512,
        "encoder_layers": 8,
        "encoder_ffn_dim": 2048,
        "decoder_layers": 8,
        "decoder_ffn_dim": 2048,
        "d_model": 512,
    },
    "plbart": {
        "vocab_size": 50_005,
        "encoder_layers": 6,
        "encoder_ffn_dim": 3072,
        "encoder_attention_heads": 12,
        "decoder_layers": 6,
        "decoder_ffn_dim": 3072,
        "decoder_attention_heads": 12,
        "d_model": 768,
        "attention_dropout": 0.1,
    },
    "marian": {"vocab_size": 58_101},
    "m2m_100": {"vocab_size": 128_112, "activation_function": "relu", "attention_dropout": 0.1},
}


@dataclass(frozen=True, slots=True)
class Traits:
    """In what the families differ: the place of the norms, the kind of positions, and a bias of the logits.

    `norm_tokens`: the decoder's embedding norm sees the tokens without their positions.
    """

    norm_first: bool = False
    embedding_norm: bool = True
    final_norm: bool = False
    positions: str = "learned"
    logits_bias: bool = True
    norm_tokens: bool = False


_TRAITS = {
    "bart": Traits(),
    "blenderbot": Traits(norm_first=True, embedding_norm=False, final_norm=True, positions="plain"),
    "blenderbot-small": Traits(positions="plain", norm_tokens=True),
    "mbart": Traits(norm_first=True, final_norm=True),
    "pegasus": Traits(norm_first=True, embedding_norm=False, final_norm=True, positions="frozen"),
    "marian": Traits(embedding_norm=False, positions="frozen"),
    "m2m_100": Traits(
        norm_first=True, embedding_norm=False, final_norm=True, positions="buffer", logits_bias=False
    ),
    "plbart": Traits(),
}


class Attention(Module):
    """Multi-head attention, to its own input or to the encoder's output."""

    label = "attention"
    key_bias = True

    def __init__(self, config: Config, heads: Dim, *, causal: bool = False) -> None:
        width = config.size("D", "d_model")
        self.heads, self.head, self.causal = heads, Dim(width // heads, "H"), causal
        self.k_proj = Linear(width, width, bias=self.key_bias)
        self.v_proj, self.q_proj, self.out_proj = (Linear(width, width) for _ in range(3))
        self.p = config.get("attention_dropout")

    def project(self, x: Tensor, source: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return query, key and value of shape (B, heads, T, H)."""
        query = split_heads(self.q_proj(x), self.heads, self.head)
        key = split_heads(self.k_proj(source), self.heads, self.head)
        value = split_heads(self.v_proj(source), self.heads, self.head)
        return query, key, value

    def forward(
        self, x: Tensor, source: Tensor, mask: Tensor | None, around: Surroundings
    ) -> tuple[Tensor, Tensor | None]:
        """(B, T, D) to (B, T, D), with keys from `source`; and the attention weights if there are any."""
        query, key, value = self.project(x, source)
        if around.cache is not None:
            key, value = around.cache.update(key, value)
        out, weights = attend_everywhere(query, key, value, mask, around.regime, p=self.p, causal=self.causal)
        out = reshape(out, *x.shape)
        out = self.out_proj(out)
        return out, weights


class Layer(Module):
    """What a layer of the encoder and one of the decoder share: self-attention, and the MLP at the end."""

    label = "residual stream"
    attention: type[Attention] = Attention

    def __init__(self, config: Config, side: str, *, norm_first: bool) -> None:
        width, inner = config.size("D", "d_model"), config.size("F", f"{side}_ffn_dim")
        self.norm_first = norm_first
        heads = config.size("N", f"{side}_attention_heads")
        self.self_attn = self.attention(config, heads, causal=side == "decoder")
        self.self_attn_layer_norm = LayerNorm(width)
        self.fc1, self.fc2 = Linear(width, inner), Linear(inner, width)
        self.final_layer_norm = LayerNorm(width)
        self.act = activation(config.get("activation_function"))
        self.p, self.inner_p = config.get("dropout"), config.get("activation_dropout")

    def attend(self, hidden: Tensor, around: Surroundings) -> tuple[Tensor, Tensor | None]:
        """Return the hidden states after self-attention, and its weights."""
        residual = hidden
        if self.norm_first:
            hidden = self.self_attn_layer_norm(hidden)
        hidden, weights = self.self_attn(hidden, hidden, around.mask, around)
        hidden = dropout(hidden, self.p)
        hidden = residual + hidden
        if not self.norm_first:
            hidden = self.self_attn_layer_norm(hidden)
        return hidden, weights

    def feed_forward(self, hidden: Tensor) -> Tensor:
        """Return the hidden states after the MLP."""
        residual = hidden
        if self.norm_first:
            hidden = self.final_layer_norm(hidden)
        hidden = self.act(self.fc1(hidden))
        hidden = dropout(hidden, self.inner_p)
        hidden = self.fc2(hidden)
        hidden = dropout(hidden, self.p)
        hidden = residual + hidden
        if not self.norm_first:
            hidden = self.final_layer_norm(hidden)
        return hidden


class EncoderLayer(Layer):
    """Self-attention and MLP."""

    def forward(self, hidden: Tensor, around: Surroundings) -> Tensor:
        """(B, S, D) to (B, S, D)."""
        hidden, weights = self.attend(hidden, around)
        hidden = self.feed_forward(hidden)
        del weights  # the variable lives to the end of the real function
        return hidden


class DecoderLayer(Layer):
    """Self-attention, attention to the encoder's output, and MLP."""

    def __init__(self, config: Config, side: str, *, norm_first: bool) -> None:
        super().__init__(config, side, norm_first=norm_first)
        self.encoder_attn = self.attention(config, config.size("N", f"{side}_attention_heads"))
        self.encoder_attn_layer_norm = LayerNorm(config.size("D", "d_model"))

    def forward(self, hidden: Tensor, around: Surroundings) -> Tensor:
        """(B, T, D) to (B, T, D)."""
        hidden, weights = self.attend(hidden, around)
        residual = hidden
        if self.norm_first:
            hidden = self.encoder_attn_layer_norm(hidden)
        hidden, weights = self.encoder_attn(hidden, around.encoded, around.cross_mask, around)
        hidden = dropout(hidden, self.p)
        hidden = residual + hidden
        if not self.norm_first:
            hidden = self.encoder_attn_layer_norm(hidden)
        del residual
        hidden = self.feed_forward(hidden)
        del weights
        return hidden


class LearnedPositions(Module):
    """A position embedding with two rows more; the encoder looks up every row of the batch."""

    label = "embedding"

    def __init__(self, config: Config) -> None:
        rows = config.size("P", "max_position_embeddings") + 2
        self.weight = Parameter(rows, config.size("D", "d_model"), is_embedding=True)

    def forward(self, ids: Tensor, rows: int) -> Tensor:
        """Return (rows, T, D)."""
        positions = ids.tape.empty((rows, ids.shape[1]), INT64)
        return embedding(positions, parameter_tensor(self.weight))


class PlainPositions(Module):
    """A position embedding that is looked up once for all rows."""

    label = "embedding"

    def __init__(self, config: Config) -> None:
        rows = config.size("P", "max_position_embeddings")
        self.weight = Parameter(rows, config.size("D", "d_model"), is_embedding=True)

    def forward(self, ids: Tensor, _: int) -> Tensor:
        """Return (T, D)."""
        return embedding(ids.tape.empty(ids.shape[1:], INT64), parameter_tensor(self.weight))


class FrozenPositions(Module):
    """Sinusoids in a weight that does not train."""

    label = "embedding"

    def __init__(self, config: Config) -> None:
        self.weight = Parameter(config.size("P", "max_position_embeddings"), config.size("D", "d_model"))
        self.weight.trainable = False

    def forward(self, ids: Tensor, _: int) -> Tensor:
        """Return (T, D)."""
        assert self.weight.tensor is not None
        return ids.tape.empty((ids.shape[1], self.weight.shape[1]), self.weight.tensor.dtype)


class BufferPositions(Module):
    """Sinusoids in a buffer, looked up for counted positions."""

    label = "embedding"

    def __init__(self, config: Config, like: Parameter) -> None:
        rows = config.size("P", "max_position_embeddings") + 2
        self.weights = FloatBuffer(rows, config.size("D", "d_model"), like=like)

    def forward(self, ids: Tensor, _: int) -> Tensor:
        """Return (B, T, D)."""
        positions = counted_positions(ids)
        out = ids.tape.empty((*ids.shape, self.weights.shape[1]), self.weights.dtype)
        del positions
        return out


class Side(Module):
    """The encoder or the decoder: embeddings, layers, and perhaps a final norm."""

    def __init__(self, config: Config, side: str, tokens: Embedding, traits: Traits) -> None:
        width = config.size("D", "d_model")
        self.embed_tokens = tokens
        self.embed_positions = _positions(config, traits, tokens.weight)
        self.layers = self.make_layers(config, side, traits)
        if traits.embedding_norm:
            self.layernorm_embedding = LayerNorm(width)
        if traits.final_norm:
            self.layer_norm = LayerNorm(width)
        self.p = config.get("dropout")

    def make_layers(self, config: Config, side: str, traits: Traits) -> Stack:
        """Return the layers."""
        layer = DecoderLayer if side == "decoder" else EncoderLayer
        count = config.size("L", f"{side}_layers")
        return shared_stack(count, lambda _: layer(config, side, norm_first=traits.norm_first))

    def mask(self, embeds: Tensor, around: Surroundings) -> Tensor | None:
        """Return the mask of self-attention."""
        return bidirectional_mask(embeds, around.regime)

    def placed(self, embeds: Tensor, positions: Tensor) -> Tensor:
        """Add the positions, and normalize the sum in families that do."""
        hidden = embeds + positions
        norm = vars(self).get("layernorm_embedding")
        return hidden if norm is None else norm(hidden)

    def forward(self, ids: Tensor, around: Surroundings) -> Tensor:
        """(B, T) token ids to (B, T, D)."""
        embeds = self.embed_tokens(ids) * 1.0
        positions = self.embed_positions(ids, 1 if around.encoded is not None else ids.shape[0])
        hidden = self.placed(embeds, positions)
        hidden = dropout(hidden, self.p)
        hidden = self.layers(hidden, _masked(around, self.mask(embeds, around)))
        norm = vars(self).get("layer_norm")
        return norm(hidden) if norm is not None else hidden  # type: ignore[no-any-return]


class DecoderSide(Side):
    """The decoder."""

    def mask(self, embeds: Tensor, around: Surroundings) -> Tensor | None:
        """Return the mask of self-attention."""
        return causal_mask(embeds, around.regime)


class TokenNormSide(DecoderSide):
    """A decoder that normalizes its tokens before it adds their positions."""

    def placed(self, embeds: Tensor, positions: Tensor) -> Tensor:
        """Normalize the tokens, and add the positions."""
        return self.layernorm_embedding(embeds) + positions  # type: ignore[no-any-return]


def _masked(around: Surroundings, mask: Tensor | None) -> Surroundings:
    return Surroundings(around.regime, mask, None, around.encoded, around.cross_mask, None, around.cache)


def _positions(config: Config, traits: Traits, like: Parameter) -> Module:
    if traits.positions == "buffer":
        return BufferPositions(config, like)
    kinds = {"learned": LearnedPositions, "plain": PlainPositions, "frozen": FrozenPositions}
    return kinds[traits.positions](config)


class Body(Module):
    """Encoder and decoder over one token embedding."""

    def __init__(self, config: Config, traits: Traits) -> None:
        self.shared = Embedding(config.size("V", "vocab_size"), config.size("D", "d_model"))
        self.encoder = Side(config, "encoder", self.shared, traits)
        decoder = TokenNormSide if traits.norm_tokens else DecoderSide
        self.decoder = decoder(config, "decoder", self.shared, traits)

    def forward(self, ids: Tensor, target: Tensor, regime: Regime) -> tuple[Tensor, Tensor]:
        """(B, S) and (B, T) token ids to the hidden states of decoder and encoder."""
        encoded = self.encoder(ids, Surroundings(regime))
        cross = (
            bidirectional_mask(target_like(target, encoded), regime, encoded) if regime.padding_mask else None
        )
        return self.decoder(target, Surroundings(regime, encoded=encoded, cross_mask=cross)), encoded


def target_like(target: Tensor, encoded: Tensor) -> Tensor:
    """Return a view with the decoder's lengths and the encoder's type, to make a mask for."""
    return Tensor((*target.shape, encoded.shape[-1]), encoded.dtype, target.storage)


class Seq2SeqLM(Model):
    """Encoder, decoder and language-modelling head; the cache is off where there are labels."""

    def __init__(self, config: Config, traits: Traits) -> None:
        self.model = Body(config, traits)
        width, vocabulary = config.size("D", "d_model"), config.size("V", "vocab_size")
        self.lm_head = Linear(width, vocabulary, bias=False)
        if config.get("tie_word_embeddings", default=True):
            self.lm_head.weight = self.model.shared.weight
        if traits.logits_bias:
            self.final_logits_bias = FloatBuffer(1, vocabulary, like=self.lm_head.weight)

    def inputs(self, sizes: Sizes) -> tuple[InputSpec, ...]:
        """Return token ids and labels."""
        return seq2seq_inputs(sizes)

    def forward(self, batch: Batch, regime: Regime) -> Output:
        """Return the loss over the target tokens."""
        ids = shifted_right(batch["labels"])
        hidden, encoded = self.model(batch["input_ids"], ids, regime)
        hidden.tape.arena.label = "logits"
        logits = self.lm_head(hidden)
        bias = vars(self).get("final_logits_bias")
        if bias is not None:
            logits = logits + bias.tensor
        logits.tape.arena.label = "loss"
        return Output(class_loss(logits, batch["labels"], regime), logits, [encoded])


class ClassificationHead(Module):
    """Two linear layers on one state of the decoder."""

    label = "classifier"

    def __init__(self, config: Config) -> None:
        width = config.size("D", "d_model")
        named = config.get("id2label")
        self.dense = Linear(width, width)
        classes = config.size("C", "num_labels", default=len(named) if named else 3)
        self.out_proj = Linear(width, classes)
        self.dropout = Dropout(config.get("classifier_dropout", 0.0))

    def forward(self, state: Tensor) -> Tensor:
        """(B, D) to (B, C)."""
        state = self.dropout(state)
        state = self.dense(state)
        state = unary_saving_result(state)
        state = self.dropout(state)
        return self.out_proj(state)  # type: ignore[no-any-return]


class SequenceClassifier(Model):
    """Both sides read the same text; the decoder's state at its end is classified."""

    def __init__(self, config: Config, traits: Traits) -> None:
        self.model = Body(config, traits)
        self.classification_head = ClassificationHead(config)

    def inputs(self, sizes: Sizes) -> tuple[InputSpec, ...]:
        """Return token ids and one label per row."""
        return class_inputs(sizes)

    def forward(self, batch: Batch, regime: Regime) -> Output:
        """Return the loss over classes."""
        ids = batch["input_ids"]
        shifted = shifted_right(ids)
        hidden, encoded = self.model(ids, shifted, regime)
        ends = ids.tape.empty(ids.shape, BOOL)
        selected = take_rows(hidden, (ends,), hidden.shape[0], hidden.shape[2])
        logits = self.classification_head(selected)
        logits.tape.arena.label = "loss"
        return Output(class_loss(logits, batch["labels"], regime), logits, [encoded])


def build(config: Config, task: str) -> Model:
    """Build the model of a config for a task."""
    kind = config.get("model_type", "bart")
    config = config.completed({**_DEFAULTS, **_OWN_DEFAULTS.get(kind, {})})
    if task == "seq2seq-lm":
        return Seq2SeqLM(config, _TRAITS[kind])
    if task == "sequence-classification" and kind in {"bart", "mbart", "plbart"}:
        return SequenceClassifier(config, _TRAITS[kind])
    raise UnsupportedTask(task)
