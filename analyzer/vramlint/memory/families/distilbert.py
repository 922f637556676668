"""DistilBERT (transformers 5.23, models/distilbert/modeling_distilbert.py)."""

from __future__ import annotations

from vramlint.memory.dtypes import INT64
from vramlint.memory.families.base import Batch, Config, Model, Output, Regime, UnsupportedTask
from vramlint.memory.families.bert import tied_decoder
from vramlint.memory.families.encoder import (
    FirstTokenClassifier,
    QuestionAnswerer,
    TokenClassifier,
    attend_everywhere,
    bidirectional_mask,
    first_token,
)
from vramlint.memory.families.heads import class_loss, label_count
from vramlint.memory.families.layers import split_heads
from vramlint.memory.modules import Buffer, Dropout, Embedding, LayerNorm, Linear, Module, Stack
from vramlint.memory.operators.activations import activation
from vramlint.memory.operators.elementwise import reshape, unary_saving_result
from vramlint.memory.tape import Dim, Tensor

MODEL_TYPES = ("distilbert",)

_DEFAULTS = {
    "vocab_size": 30_522,
    "hidden_size": 768,
    "num_hidden_layers": 6,
    "num_attention_heads": 12,
    "hidden_dim": 3_072,
}


def width_of(config: Config) -> Dim:
    """Return the width of the model."""
    return config.size("D", "hidden_size")


class Embeddings(Module):
    """Token and position embeddings, added and normalized."""

    label = "embedding"

    def __init__(self, config: Config) -> None:
        width = width_of(config)
        positions = config.size("P", "max_position_embeddings", default=512)
        self.word_embeddings = Embedding(config.size("V", "vocab_size"), width)
        self.position_embeddings = Embedding(positions, width)
        self.LayerNorm = LayerNorm(width)
        self.dropout = Dropout(config.get("dropout", 0.1))
        self.position_ids = Buffer(1, positions, dtype=INT64)

    def forward(self, ids: Tensor) -> Tensor:
        """(B, T) token ids to (B, T, D)."""
        tokens = self.word_embeddings(ids)
        assert self.position_ids.tensor is not None
        positions = self.position_embeddings(self.position_ids.tensor.view(1, ids.shape[1]))
        embeddings = tokens + positions
        embeddings = self.LayerNorm(embeddings)
        return self.dropout(embeddings)  # type: ignore[no-any-return]


class SelfAttention(Module):
    """Multi-head attention over all tokens."""

    label = "attention"

    def __init__(self, config: Config) -> None:
        width = width_of(config)
        self.heads = config.size("N", "num_attention_heads")
        self.head = Dim(width // self.heads, "H")
        self.q_lin, self.k_lin, self.v_lin = Linear(width, width), Linear(width, width), Linear(width, width)
        self.out_lin = Linear(width, width)
        self.p = config.get("attention_dropout", 0.1)

    def forward(self, x: Tensor, mask: Tensor | None, regime: Regime) -> tuple[Tensor, Tensor | None]:
        """(B, T, D) to (B, T, D), and the attention weights if there are any."""
        query = split_heads(self.q_lin(x), self.heads, self.head)
        key = split_heads(self.k_lin(x), self.heads, self.head)
        value = split_heads(self.v_lin(x), self.heads, self.head)
        out, weights = attend_everywhere(query, key, value, mask, regime, p=self.p)
        out = reshape(out, *x.shape)
        return self.out_lin(out), weights


class FFN(Module):
    """Two linear layers and dropout."""

    label = "mlp"

    def __init__(self, config: Config) -> None:
        inner = config.size("F", "hidden_dim")
        self.lin1 = Linear(width_of(config), inner)
        self.lin2 = Linear(inner, width_of(config))
        self.act = activation(config.get("activation", "gelu"))
        self.dropout = Dropout(config.get("dropout", 0.1))

    def forward(self, x: Tensor) -> Tensor:
        """(B, T, D) to (B, T, D)."""
        x = self.lin1(x)
        x = self.act(x)
        x = self.lin2(x)
        return self.dropout(x)  # type: ignore[no-any-return]


class Block(Module):
    """Post-norm attention and MLP."""

    label = "residual stream"

    def __init__(self, config: Config) -> None:
        self.attention = SelfAttention(config)
        self.sa_layer_norm = LayerNorm(width_of(config))
        self.ffn = FFN(config)
        self.output_layer_norm = LayerNorm(width_of(config))

    def forward(self, hidden: Tensor, mask: Tensor | None, regime: Regime) -> Tensor:
        """(B, T, D) to (B, T, D)."""
        attended, weights = self.attention(hidden, mask, regime)
        attended = self.sa_layer_norm(attended + hidden)
        out = self.ffn(attended)
        out = self.output_layer_norm(out + attended)
        del weights  # the caller's variable lives to its end
        return out  # type: ignore[no-any-return]


class Transformer(Module):
    """The layers."""

    def __init__(self, config: Config) -> None:
        self.layer = Stack(config.size("L", "num_hidden_layers"), lambda _: Block(config))

    def forward(self, hidden: Tensor, mask: Tensor | None, regime: Regime) -> Tensor:
        """Run all layers."""
        return self.layer(hidden, mask, regime)  # type: ignore[no-any-return]


class Body(Module):
    """Embeddings and layers."""

    def __init__(self, config: Config) -> None:
        self.embeddings = Embeddings(config)
        self.transformer = Transformer(config)

    def forward(self, ids: Tensor, regime: Regime) -> Tensor:
        """(B, T) token ids to (B, T, D)."""
        embeddings = self.embeddings(ids)
        mask = bidirectional_mask(embeddings, regime)
        return self.transformer(embeddings, mask, regime)  # type: ignore[no-any-return]


class SequenceClassifier(FirstTokenClassifier):
    """Two linear layers on the first token, both directly in the model."""

    def __init__(self, config: Config) -> None:
        super().__init__("distilbert", Body(config), Linear(width_of(config), label_count(config)))
        self.pre_classifier = Linear(width_of(config), width_of(config))
        self.dropout = Dropout(config.get("seq_classif_dropout", 0.2))

    def forward(self, batch: Batch, regime: Regime) -> Output:
        """Return the loss over classes."""
        hidden = getattr(self, self.prefix)(batch["input_ids"], regime)
        hidden.tape.arena.label = "logits"
        pooled = first_token(hidden)
        pooled = self.pre_classifier(pooled)
        pooled = unary_saving_result(pooled)
        pooled = self.dropout(pooled)
        logits = self.classifier(pooled)
        logits.tape.arena.label = "loss"
        return Output(class_loss(logits, batch["labels"], regime), logits)


class MaskedLM(Model):
    """Masked language modelling, with the head's layers directly in the model."""

    def __init__(self, config: Config) -> None:
        width = width_of(config)
        self.distilbert = Body(config)
        self.vocab_transform = Linear(width, width)
        self.vocab_layer_norm = LayerNorm(width)
        self.vocab_projector = tied_decoder(config, width, self.distilbert.embeddings.word_embeddings.weight)
        self.act = activation(config.get("activation", "gelu"))

    def forward(self, batch: Batch, regime: Regime) -> Output:
        """Return the loss over the vocabulary."""
        hidden = self.distilbert(batch["input_ids"], regime)
        hidden.tape.arena.label = "logits"
        logits = self.vocab_transform(hidden)
        logits = self.act(logits)
        logits = self.vocab_layer_norm(logits)
        logits = self.vocab_projector(logits)
        logits.tape.arena.label = "loss"
        return Output(class_loss(logits, batch["labels"], regime), logits)


def build(config: Config, task: str) -> Model:
    """Build the model of a config for a task."""
    names = {"dim": "hidden_size", "n_layers": "num_hidden_layers", "n_heads": "num_attention_heads"}
    config = Config({names.get(name, name): value for name, value in config.values.items()}).completed(
        _DEFAULTS
    )
    if task == "sequence-classification":
        return SequenceClassifier(config)
    if task == "masked-lm":
        return MaskedLM(config)
    if task == "token-classification":
        classifier = Linear(width_of(config), label_count(config))
        return TokenClassifier("distilbert", Body(config), classifier, config.get("dropout", 0.1))
    if task == "question-answering":
        return QuestionAnswerer(config, "distilbert", Body(config), config.get("qa_dropout", 0.1))
    raise UnsupportedTask(task)
