"""Whisper: convolutions over log-mel frames, and BART's layers (transformers 5.23, models/whisper)."""

from __future__ import annotations

from typing import Any

from vramlint.memory.dtypes import INT64
from vramlint.memory.families.bart import Attention, DecoderLayer, EncoderLayer
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
from vramlint.memory.families.heads import class_loss
from vramlint.memory.families.layers import KeyValueCache, causal_mask, split_heads
from vramlint.memory.families.seq2seq import Surroundings, shared_stack, shifted_right
from vramlint.memory.families.speech import Conv1d
from vramlint.memory.modules import Embedding, LayerNorm, Linear, Module, Parameter, parameter_tensor
from vramlint.memory.operators.elementwise import contiguous, dropout, unary
from vramlint.memory.operators.indexing import take_rows
from vramlint.memory.tape import Dim, Tensor

MODEL_TYPES = ("whisper",)

_DEFAULTS: dict[str, Any] = {
    "vocab_size": 51_865,
    "num_mel_bins": 80,
    "encoder_layers": 4,
    "encoder_attention_heads": 6,
    "encoder_ffn_dim": 1536,
    "decoder_layers": 4,
    "decoder_attention_heads": 6,
    "decoder_ffn_dim": 1536,
    "activation_function": "gelu",
    "d_model": 384,
    "dropout": 0.0,
    "attention_dropout": 0.0,
    "activation_dropout": 0.0,
    "max_source_positions": 1500,
    "max_target_positions": 448,
}

_KERNEL = 3
_STRIDE = 2  # of both convolutions together


class ScaledAttention(Attention):
    """Attention that scales its queries itself, and copies all three into contiguous order."""

    key_bias = False

    def project(self, x: Tensor, source: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return query, key and value of shape (B, heads, T, H)."""
        query = contiguous(split_heads(self.q_proj(x) * 0.125, self.heads, self.head))
        key = contiguous(split_heads(self.k_proj(source), self.heads, self.head))
        value = contiguous(split_heads(self.v_proj(source), self.heads, self.head))
        return query, key, value


class SpeechEncoderLayer(EncoderLayer):
    """A layer of the encoder."""

    attention = ScaledAttention


class SpeechDecoderLayer(DecoderLayer):
    """A layer of the decoder."""

    attention = ScaledAttention


class Encoder(Module):
    """Two convolutions, fixed positions, layers and a norm."""

    label = "embedding"

    def __init__(self, config: Config) -> None:
        width = config.size("D", "d_model")
        self.conv1 = Conv1d(config.size("M", "num_mel_bins"), width, _KERNEL, padding=1)
        self.conv2 = Conv1d(width, width, _KERNEL, stride=_STRIDE, padding=1)
        self.embed_positions = Embedding(config.size("S", "max_source_positions"), width)
        self.embed_positions.weight.trainable = False
        count = config.size("L", "encoder_layers")
        self.layers = shared_stack(count, lambda _: SpeechEncoderLayer(config, "encoder", norm_first=True))
        self.layer_norm = LayerNorm(width)
        self.p = config.get("dropout")

    def forward(self, features: Tensor, around: Surroundings) -> Tensor:
        """(B, M, 2·S) features to (B, S, D)."""
        embeds = unary(self.conv1(features))
        embeds = unary(self.conv2(embeds))
        embeds = embeds.transposed(1, 2)
        rows = features.tape.empty((embeds.shape[1],), INT64)
        hidden = embeds + self.embed_positions(rows)
        hidden = dropout(hidden, self.p)
        hidden = self.layers(hidden, around)
        return self.layer_norm(hidden)  # type: ignore[no-any-return]


class Positions(Module):
    """Learned positions that are looked up by indexing the weight."""

    label = "embedding"

    def __init__(self, rows: int, width: int) -> None:
        self.weight = Parameter(rows, width, is_embedding=True)

    def forward(self, ids: Tensor) -> Tensor:
        """(B, T) positions to (B, T, D)."""
        return take_rows(parameter_tensor(self.weight), (ids,), *ids.shape, self.weight.shape[1])


class Decoder(Module):
    """Token and position embeddings, layers and a norm."""

    def __init__(self, config: Config) -> None:
        width = config.size("D", "d_model")
        self.embed_tokens = Embedding(config.size("V", "vocab_size"), width)
        self.embed_positions = Positions(config.size("P", "max_target_positions"), width)
        count = config.size("L", "decoder_layers")
        self.layers = shared_stack(count, lambda _: SpeechDecoderLayer(config, "decoder", norm_first=True))
        self.layer_norm = LayerNorm(width)
        self.p = config.get("dropout")

    def forward(self, ids: Tensor, encoded: Tensor, regime: Regime, cache: KeyValueCache | None) -> Tensor:
        """(B, T) token ids to (B, T, D)."""
        embeds = self.embed_tokens(ids)
        rows = ids.tape.empty(ids.shape, INT64)
        positions = self.embed_positions(rows)
        hidden = embeds + positions
        hidden = dropout(hidden, self.p)
        mask = causal_mask(embeds, regime)
        hidden = self.layers(hidden, Surroundings(regime, mask, encoded=encoded, cache=cache))
        return self.layer_norm(hidden)  # type: ignore[no-any-return]


class Body(Module):
    """Encoder and decoder."""

    def __init__(self, config: Config) -> None:
        self.encoder = Encoder(config)
        self.decoder = Decoder(config)


class SpeechSeq2Seq(Model):
    """Encoder, decoder and language-modelling head."""

    def __init__(self, config: Config) -> None:
        self.model = Body(config)
        width, vocabulary = config.size("D", "d_model"), config.size("V", "vocab_size")
        self.proj_out = Linear(width, vocabulary, bias=False)
        if config.get("tie_word_embeddings", default=True):
            self.proj_out.weight = self.model.decoder.embed_tokens.weight
        self.bins = config.size("M", "num_mel_bins")
        self.frames = _STRIDE * config.size("S", "max_source_positions")

    def inputs(self, sizes: Sizes) -> tuple[InputSpec, ...]:
        """Return log-mel features (B, M, frames) and labels."""
        rows = Dim(sizes.rows, "B")
        labels = (rows, Dim(sizes.target_length or sizes.length, "T"))
        features = InputSpec(("input_features",), (rows, self.bins, self.frames), sizes.dtype)
        return (features, InputSpec(("labels",), labels))

    def forward(self, batch: Batch, regime: Regime) -> Output:
        """Return the loss over the target tokens."""
        ids = shifted_right(batch["labels"])
        encoded = self.model.encoder(batch["input_features"], Surroundings(regime))
        uses_cache = regime.use_cache and not self.model.decoder.layers.checkpointed
        cache = KeyValueCache() if uses_cache else None
        hidden = self.model.decoder(ids, encoded, regime, cache)
        hidden.tape.arena.label = "logits"
        logits = self.proj_out(hidden)
        logits.tape.arena.label = "loss"
        loss = class_loss(logits, batch["labels"], regime)
        return Output(loss, logits, [*(cache.tensors if cache else []), encoded])


def build(config: Config, task: str) -> Model:
    """Build the model of a config for a task."""
    if task not in {"speech-seq2seq", "seq2seq-lm"}:
        raise UnsupportedTask(task)
    return SpeechSeq2Seq(config.completed(_DEFAULTS))
