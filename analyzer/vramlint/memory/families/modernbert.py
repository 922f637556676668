"""ModernBERT: rotary positions, a gated MLP, and attention that is local in two layers of three.

transformers 5.23, models/modernbert/modeling_modernbert.py.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from vramlint.memory.dtypes import BOOL, FLOAT32
from vramlint.memory.families.base import Batch, Config, Model, Output, Regime, UnsupportedTask
from vramlint.memory.families.encoder import FirstTokenClassifier, bidirectional_mask, first_token
from vramlint.memory.families.heads import class_loss, label_count
from vramlint.memory.families.layers import attend, rotate
from vramlint.memory.modules import Buffer, Dropout, Embedding, LayerNorm, Linear, Module, Stack
from vramlint.memory.operators.activations import activation
from vramlint.memory.operators.elementwise import cast, expand, holding, reshape, split
from vramlint.memory.operators.pooling import mean_over
from vramlint.memory.tape import Dim, Tensor

MODEL_TYPES = ("modernbert",)

FULL, SLIDING = "full_attention", "sliding_attention"

_DEFAULTS: dict[str, Any] = {
    "vocab_size": 50_368,
    "hidden_size": 768,
    "intermediate_size": 1152,
    "num_hidden_layers": 22,
    "num_attention_heads": 12,
    "global_attn_every_n_layers": 3,
    "local_attention": 128,
    "norm_bias": False,
    "attention_bias": False,
    "mlp_bias": False,
    "classifier_bias": False,
    "decoder_bias": True,
    "embedding_dropout": 0.0,
    "attention_dropout": 0.0,
    "mlp_dropout": 0.0,
    "classifier_dropout": 0.0,
    "hidden_activation": "gelu",
    "classifier_activation": "gelu",
    "classifier_pooling": "cls",
}


@dataclass(frozen=True, slots=True)
class Around:
    """What all layers share, by kind of attention."""

    regime: Regime
    masks: dict[str, Tensor | None]
    positions: dict[str, tuple[Tensor, Tensor]]


def norm_of(config: Config) -> LayerNorm:
    """Return a layer norm of the model's width."""
    return LayerNorm(config.size("D", "hidden_size"), bias=config.get("norm_bias"))


class Embeddings(Module):
    """Token embeddings, normalized."""

    label = "embedding"

    def __init__(self, config: Config) -> None:
        self.tok_embeddings = Embedding(config.size("V", "vocab_size"), config.size("D", "hidden_size"))
        self.norm = norm_of(config)
        self.drop = Dropout(config.get("embedding_dropout"))

    def forward(self, ids: Tensor) -> Tensor:
        """(B, T) token ids to (B, T, D)."""
        return self.drop(self.norm(self.tok_embeddings(ids)))  # type: ignore[no-any-return]


class Attention(Module):
    """Attention with one projection for query, key and value, rotated in fp32."""

    label = "attention"

    def __init__(self, config: Config, kind: str) -> None:
        self.kind = kind
        self.width = config.size("D", "hidden_size")
        self.heads = config.size("N", "num_attention_heads")
        self.head = Dim(self.width // self.heads, "H")
        bias = config.get("attention_bias")
        self.Wqkv = Linear(self.width, Dim(3 * self.width, "3D"), bias=bias)
        self.Wo = Linear(self.width, self.width, bias=bias)
        self.p = config.get("attention_dropout")
        self.out_drop = Dropout(self.p)

    def forward(self, x: Tensor, around: Around) -> Tensor:
        """(B, T, D) to (B, T, D)."""
        batch, length, _ = x.shape
        parts = split(self.Wqkv(x), (self.width,) * 3)
        query, key, value = (
            part.view(batch, length, self.heads, self.head).transposed(1, 2) for part in parts
        )
        del parts
        cosine, sine = around.positions[self.kind]
        query, key = _rotated(query, cosine, sine), _rotated(key, cosine, sine)
        out = attend(query, key, value, around.masks[self.kind], around.regime, p=self.p, causal=False)
        return self.out_drop(self.Wo(reshape(out, *x.shape)))  # type: ignore[no-any-return]


def _rotated(x: Tensor, cosine: Tensor, sine: Tensor) -> Tensor:
    return cast(rotate(cast(x, FLOAT32), cosine, sine), x.dtype)


class MLP(Module):
    """Gated MLP with one projection for both halves."""

    label = "mlp"

    def __init__(self, config: Config) -> None:
        width, self.inner = config.size("D", "hidden_size"), config.size("F", "intermediate_size")
        bias = config.get("mlp_bias")
        self.Wi = Linear(width, Dim(2 * self.inner, "2F"), bias=bias)
        self.Wo = Linear(self.inner, width, bias=bias)
        self.drop = Dropout(config.get("mlp_dropout"))
        self.act = activation(config.get("hidden_activation"))

    def forward(self, x: Tensor) -> Tensor:
        """(B, T, D) to (B, T, D)."""
        first, gate = split(self.Wi(x), (self.inner, self.inner))
        product = self.act(first) * gate
        product.contiguous = True
        return self.Wo(self.drop(product))  # type: ignore[no-any-return]


class Layer(Module):
    """Pre-norm attention and MLP; the first layer has no norm before its attention."""

    label = "residual stream"

    def __init__(self, config: Config, index: int, kind: str) -> None:
        if index:
            self.attn_norm = norm_of(config)
        self.attn = Attention(config, kind)
        self.mlp_norm = norm_of(config)
        self.mlp = MLP(config)

    def forward(self, hidden: Tensor, around: Around) -> Tensor:
        """(B, T, D) to (B, T, D)."""
        norm = vars(self).get("attn_norm")
        attended = self.attn(norm(hidden) if norm is not None else hidden, around)
        hidden = hidden + attended
        return hidden + self.mlp(self.mlp_norm(hidden))  # type: ignore[no-any-return]


class Rotary(Module):
    """Two small buffers for each kind of attention."""

    def __init__(self, size: int) -> None:
        self.full_attention_inv_freq, self.full_attention_original_inv_freq = Buffer(size), Buffer(size)
        self.sliding_attention_inv_freq, self.sliding_attention_original_inv_freq = Buffer(size), Buffer(size)

    def positions(self, x: Tensor, head: int) -> tuple[Tensor, Tensor]:
        """Return cosine and sine in the type of x."""
        with x.tape.no_grad():
            angles = x.tape.empty((1, x.shape[1], head), FLOAT32)
            cosine = cast(x.tape.empty(angles.shape, FLOAT32), x.dtype)
            sine = cast(x.tape.empty(angles.shape, FLOAT32), x.dtype)
        return cosine, sine


class Body(Module):
    """Embeddings, layers and final norm."""

    def __init__(self, config: Config) -> None:
        self.head = config.size("D", "hidden_size") // config.size("N", "num_attention_heads")
        count, every = config.size("L", "num_hidden_layers"), config.get("global_attn_every_n_layers")
        kinds = config.get("layer_types") or [SLIDING if i % every else FULL for i in range(count)]
        self.embeddings = Embeddings(config)
        self.layers = Stack(count, lambda i: Layer(config, i, kinds[i]), kinds)
        self.final_norm = norm_of(config)
        self.rotary_emb = Rotary(self.head // 2)
        self.window = config.get("local_attention") // 2

    def forward(self, ids: Tensor, regime: Regime) -> Tensor:
        """(B, T) token ids to (B, T, D)."""
        hidden = self.embeddings(ids)
        masks = {FULL: bidirectional_mask(hidden, regime), SLIDING: self._local_mask(hidden, regime)}
        positions = {kind: self.rotary_emb.positions(hidden, self.head) for kind in (FULL, SLIDING)}
        kept = masks[SLIDING] if self.layers.checkpointed else None
        hidden = holding(hidden, *positions[SLIDING], kept)
        hidden = self.layers(hidden, Around(regime, masks, positions))
        return self.final_norm(hidden)  # type: ignore[no-any-return]

    def _local_mask(self, x: Tensor, regime: Regime) -> Tensor | None:
        """Return the mask of a window: a (T, T) that is expanded, or for eager attention one per row."""
        batch, length = x.shape[0], x.shape[1]
        if regime.padding_mask or length < self.window or regime.attention not in {"sdpa", "eager"}:
            return bidirectional_mask(x, regime)
        if regime.attention == "eager":
            return x.tape.empty((batch, 1, length, length), x.dtype)
        mask = x.tape.empty((1, 1, length, Dim(length, "T")), BOOL)
        return expand(mask, batch, 1, length, length)


class PredictionHead(Module):
    """A linear layer, an activation and a norm."""

    def __init__(self, config: Config) -> None:
        width = config.size("D", "hidden_size")
        self.dense = Linear(width, width, bias=config.get("classifier_bias"))
        self.act = activation(config.get("classifier_activation"))
        self.norm = norm_of(config)

    def forward(self, hidden: Tensor) -> Tensor:
        """(…, D) to (…, D)."""
        return self.norm(self.act(self.dense(hidden)))  # type: ignore[no-any-return]


class MaskedLM(Model):
    """Masked language modelling, its output layer tied to the token embedding."""

    def __init__(self, config: Config) -> None:
        self.model = Body(config)
        self.head = PredictionHead(config)
        width, vocabulary = config.size("D", "hidden_size"), config.size("V", "vocab_size")
        self.decoder = Linear(width, vocabulary, bias=config.get("decoder_bias"))
        if config.get("tie_word_embeddings", default=True):
            self.decoder.weight = self.model.embeddings.tok_embeddings.weight

    def forward(self, batch: Batch, regime: Regime) -> Output:
        """Return the loss over the vocabulary, computed in fp32."""
        hidden = self.model(batch["input_ids"], regime)
        hidden.tape.arena.label = "logits"
        logits = self.decoder(self.head(hidden))
        logits.tape.arena.label = "loss"
        wide = cast(logits, FLOAT32)
        return Output(class_loss(wide, batch["labels"], regime), logits)


class Classifier(FirstTokenClassifier):
    """A head, dropout and a linear layer on each token, or on the first or the mean of all."""

    def __init__(self, config: Config, pooling: str) -> None:
        super().__init__("model", Body(config), Linear(config.size("D", "hidden_size"), label_count(config)))
        self.head = PredictionHead(config)
        self.drop = Dropout(config.get("classifier_dropout"))
        self.pooling = pooling

    def forward(self, batch: Batch, regime: Regime) -> Output:
        """Return the loss over classes."""
        outputs = getattr(self, self.prefix)(batch["input_ids"], regime)
        outputs.tape.arena.label = "logits"
        pooled = self.pool(outputs)
        pooled = self.drop(self.head(pooled))
        logits = self.classifier(pooled)
        logits.tape.arena.label = "loss"
        return Output(class_loss(logits, batch["labels"], regime), logits)

    def pool(self, hidden: Tensor) -> Tensor:
        """(B, T, D) to (B, D)."""
        if self.pooling == "cls":
            return first_token(hidden)
        return mean_over(hidden * hidden.tape.empty((*hidden.shape[:2], 1), BOOL), 1)


class TokenClassifier(Classifier):
    """The same on every token."""

    inputs = Model.inputs

    def pool(self, hidden: Tensor) -> Tensor:
        """Return all hidden states."""
        return hidden


def build(config: Config, task: str) -> Model:
    """Build the model of a config for a task."""
    config = config.completed(_DEFAULTS)
    if task == "masked-lm":
        return MaskedLM(config)
    if task == "sequence-classification":
        return Classifier(config, config.get("classifier_pooling"))
    if task == "token-classification":
        return TokenClassifier(config, "")
    raise UnsupportedTask(task)
