"""BERT and the encoder that ERNIE, RoBERTa and ELECTRA copy from it (transformers 5.23, models/bert, ernie)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vramlint.memory.dtypes import INT64
from vramlint.memory.families.base import Config, Model, Regime, UnsupportedTask
from vramlint.memory.families.encoder import (
    MaskedLM,
    PooledClassifier,
    QuestionAnswerer,
    TokenClassifier,
    attend_everywhere,
    bidirectional_mask,
    first_token,
)
from vramlint.memory.families.heads import label_count
from vramlint.memory.families.layers import split_heads
from vramlint.memory.modules import Buffer, Dropout, Embedding, LayerNorm, Linear, Module, Parameter, Stack
from vramlint.memory.operators.activations import activation
from vramlint.memory.operators.elementwise import reshape, unary_saving_result
from vramlint.memory.tape import Dim, Tensor

if TYPE_CHECKING:
    from collections.abc import Callable

MODEL_TYPES = ("bert", "ernie")

_DEFAULTS = {
    "vocab_size": 30_522,
    "hidden_size": 768,
    "num_hidden_layers": 12,
    "num_attention_heads": 12,
    "intermediate_size": 3_072,
}


class Embeddings(Module):
    """Token, token type and position embeddings, added and normalized."""

    label = "embedding"

    def __init__(self, config: Config, width: Dim | None = None) -> None:
        width = width or config.size("D", "hidden_size")
        positions = config.size("P", "max_position_embeddings", default=512)
        self.word_embeddings = Embedding(config.size("V", "vocab_size"), width)
        self.position_embeddings = Embedding(positions, width)
        self.token_type_embeddings = Embedding(config.get("type_vocab_size", 2), width)
        self.LayerNorm = LayerNorm(width)
        self.dropout = Dropout(config.get("hidden_dropout_prob", 0.1))
        self.position_ids = Buffer(1, positions, dtype=INT64)
        self.token_type_ids = Buffer(1, positions, dtype=INT64)

    def positions(self, ids: Tensor) -> Tensor:
        """Return the positions, a view of a buffer: (1, T)."""
        assert self.position_ids.tensor is not None
        return self.position_ids.tensor.view(1, ids.shape[1])

    def forward(self, ids: Tensor) -> Tensor:
        """(B, T) token ids to (B, T, D)."""
        positions = self.positions(ids)
        types = ids.tape.empty(positions.shape, INT64).view(*ids.shape)
        tokens = self.word_embeddings(ids)
        token_types = self.token_type_embeddings(types)
        embeddings = tokens + token_types
        places = self.position_embeddings(positions)
        embeddings = embeddings + places
        embeddings = self.finish(embeddings, ids)
        return self.dropout(embeddings)  # type: ignore[no-any-return]

    def finish(self, embeddings: Tensor, ids: Tensor) -> Tensor:  # noqa: ARG002  ERNIE looks tasks up
        """Normalize the sum."""
        return self.LayerNorm(embeddings)  # type: ignore[no-any-return]


class TaskEmbeddings(Embeddings):
    """ERNIE's embeddings, with one of the kind of task where the config says so."""

    def __init__(self, config: Config) -> None:
        super().__init__(config)
        if config.get("use_task_id", default=False):
            tasks = config.get("task_type_vocab_size", 3)
            self.task_type_embeddings = Embedding(tasks, config.size("D", "hidden_size"))

    def finish(self, embeddings: Tensor, ids: Tensor) -> Tensor:
        """Add the task's embedding, and normalize the sum."""
        tasks = vars(self).get("task_type_embeddings")
        if tasks is not None:
            embeddings = embeddings + tasks(ids.tape.empty(ids.shape, INT64))
        return super().finish(embeddings, ids)


class SelfAttention(Module):
    """Multi-head attention over all tokens, without the output projection."""

    def __init__(self, config: Config) -> None:
        width = config.size("D", "hidden_size")
        self.upcast = config.get("model_type") == "layoutlm"
        self.heads = config.size("N", "num_attention_heads")
        self.head = Dim(width // self.heads, "H")
        self.query, self.key, self.value = Linear(width, width), Linear(width, width), Linear(width, width)
        self.p = config.get("attention_probs_dropout_prob", 0.1)

    def forward(self, x: Tensor, mask: Tensor | None, regime: Regime) -> tuple[Tensor, Tensor | None]:
        """(B, T, D) to (B, T, D), and the attention weights if there are any."""
        query = split_heads(self.query(x), self.heads, self.head)
        key = split_heads(self.key(x), self.heads, self.head)
        value = split_heads(self.value(x), self.heads, self.head)
        out, weights = attend_everywhere(query, key, value, mask, regime, p=self.p, upcast=self.upcast)
        return reshape(out, *x.shape), weights


class AddAndNorm(Module):
    """A linear layer, dropout, the residual and a norm: BertSelfOutput and BertOutput."""

    label = "residual stream"

    def __init__(self, config: Config, inputs: Dim) -> None:
        width = config.size("D", "hidden_size")
        self.dense = Linear(inputs, width)
        self.LayerNorm = LayerNorm(width)
        self.dropout = Dropout(config.get("hidden_dropout_prob", 0.1))

    def forward(self, hidden: Tensor, residual: Tensor) -> Tensor:
        """Return the normalized sum."""
        hidden = self.dense(hidden)
        hidden = self.dropout(hidden)
        return self.LayerNorm(hidden + residual)  # type: ignore[no-any-return]


class Attention(Module):
    """Self-attention, its output projection and the residual."""

    label = "attention"

    def __init__(self, config: Config) -> None:
        self.self = SelfAttention(config)
        self.output = AddAndNorm(config, config.size("D", "hidden_size"))

    def forward(self, x: Tensor, mask: Tensor | None, regime: Regime) -> tuple[Tensor, Tensor | None]:
        """(B, T, D) to (B, T, D), and the attention weights."""
        out, weights = self.self(x, mask, regime)
        out = self.output(out, x)
        return out, weights


class Intermediate(Module):
    """The first linear layer of the MLP and its activation."""

    label = "mlp"

    def __init__(self, config: Config) -> None:
        self.dense = Linear(config.size("D", "hidden_size"), config.size("F", "intermediate_size"))
        self.act = activation(config.get("hidden_act", "gelu"))

    def forward(self, hidden: Tensor) -> Tensor:
        """(B, T, D) to (B, T, F)."""
        hidden = self.dense(hidden)
        return self.act(hidden)


class Layer(Module):
    """Post-norm attention and MLP."""

    def __init__(self, config: Config) -> None:
        self.attention = Attention(config)
        self.intermediate = Intermediate(config)
        self.output = AddAndNorm(config, config.size("F", "intermediate_size"))

    def forward(self, hidden: Tensor, mask: Tensor | None, regime: Regime) -> Tensor:
        """(B, T, D) to (B, T, D)."""
        attended, weights = self.attention(hidden, mask, regime)
        out = self.output(self.intermediate(attended), attended)
        del weights  # the caller's variable lives to its end
        return out  # type: ignore[no-any-return]


class Encoder(Module):
    """The layers."""

    def __init__(self, config: Config) -> None:
        self.layer = Stack(config.size("L", "num_hidden_layers"), lambda _: Layer(config))

    def forward(self, hidden: Tensor, mask: Tensor | None, regime: Regime) -> Tensor:
        """Run all layers."""
        return self.layer(hidden, mask, regime)  # type: ignore[no-any-return]


class Pooler(Module):
    """A linear layer and tanh on the first token."""

    label = "pooler"

    def __init__(self, config: Config) -> None:
        width = config.size("D", "hidden_size")
        self.dense = Linear(width, width)

    def forward(self, hidden: Tensor) -> Tensor:
        """(B, T, D) to (B, D)."""
        first = first_token(hidden)
        pooled = self.dense(first)
        return unary_saving_result(pooled)


class Body(Module):
    """Embeddings and encoder."""

    def __init__(self, config: Config, embeddings: Embeddings | None = None) -> None:
        self.embeddings = embeddings or Embeddings(config)
        self.encoder = Encoder(config)

    def embed(self, ids: Tensor) -> Tensor:
        """(B, T) token ids to (B, T, D)."""
        return self.embeddings(ids)  # type: ignore[no-any-return]

    def mask(self, embedded: Tensor, regime: Regime) -> Tensor | None:
        """Return the mask of the layers."""
        return bidirectional_mask(embedded, regime)

    def forward(self, ids: Tensor, regime: Regime) -> Tensor:
        """(B, T) token ids to (B, T, D)."""
        embedded = self.embed(ids)
        mask = self.mask(embedded, regime)
        return self.encoder(embedded, mask, regime)  # type: ignore[no-any-return]


class PooledBody(Body):
    """Embeddings, encoder and pooler."""

    def __init__(self, config: Config, embeddings: Embeddings | None = None) -> None:
        super().__init__(config, embeddings)
        self.pooler = Pooler(config)

    def forward(self, ids: Tensor, regime: Regime) -> tuple[Tensor, Tensor]:  # type: ignore[override]
        """(B, T) token ids to (B, T, D) and (B, D)."""
        embedded = self.embed(ids)
        mask = self.mask(embedded, regime)
        hidden = self.encoder(embedded, mask, regime)
        return hidden, self.pooler(hidden)


class IdlePoolerBody(PooledBody):
    """A body whose pooler runs though nothing uses what it returns."""

    def forward(self, ids: Tensor, regime: Regime) -> Tensor:  # type: ignore[override]
        """(B, T) token ids to (B, T, D)."""
        hidden, _ = super().forward(ids, regime)
        return hidden


class Transform(Module):
    """The hidden layer of the masked language modelling head."""

    def __init__(self, config: Config, width: Dim) -> None:
        self.dense = Linear(config.size("D", "hidden_size"), width)
        self.LayerNorm = LayerNorm(width)
        self.act = activation(config.get("hidden_act", "gelu"))

    def forward(self, hidden: Tensor) -> Tensor:
        """(B, T, D) to (B, T, D)."""
        hidden = self.dense(hidden)
        hidden = self.act(hidden)
        return self.LayerNorm(hidden)  # type: ignore[no-any-return]


class Predictions(Module):
    """The masked language modelling head; its output layer is tied to the token embedding."""

    def __init__(self, config: Config, tied: Parameter) -> None:
        width = config.size("D", "embedding_size", "hidden_size")
        self.transform = Transform(config, width)
        self.decoder = tied_decoder(config, width, tied)
        self.bias = self.decoder.bias

    def forward(self, hidden: Tensor) -> Tensor:
        """(B, T, D) to (B, T, V)."""
        hidden = self.transform(hidden)
        return self.decoder(hidden)  # type: ignore[no-any-return]


class OnlyMLMHead(Module):
    """A module around the predictions."""

    def __init__(self, config: Config, tied: Parameter) -> None:
        self.predictions = Predictions(config, tied)

    def forward(self, hidden: Tensor) -> Tensor:
        """(B, T, D) to (B, T, V)."""
        return self.predictions(hidden)  # type: ignore[no-any-return]


def tied_decoder(config: Config, width: Dim, embedding: Parameter) -> Linear:
    """Return a linear layer to the vocabulary, with the token embedding's weight if it is tied."""
    decoder = Linear(width, config.size("V", "vocab_size"))
    if config.get("tie_word_embeddings", default=True):
        decoder.weight = embedding
    return decoder


def classifier_dropout(config: Config) -> float:
    """Return the probability of the dropout before the classifier."""
    return config.get("classifier_dropout", config.get("hidden_dropout_prob", 0.1))  # type: ignore[no-any-return]


def build_bert(
    config: Config, task: str, prefix: str, make: Callable[[type[Body]], Body], *, pooled: bool = False
) -> Model:
    """Put BERT's head for a task on the body that `make` builds; `pooled`: it has its pooler even if unused."""
    if task == "sequence-classification":
        return PooledClassifier(config, prefix, make(PooledBody), classifier_dropout(config))
    body = make(IdlePoolerBody if pooled else Body)
    if task == "token-classification":
        classifier = Linear(config.size("D", "hidden_size"), label_count(config))
        return TokenClassifier(prefix, body, classifier, classifier_dropout(config))
    if task == "question-answering":
        return QuestionAnswerer(config, prefix, body)
    if task == "masked-lm":
        head = OnlyMLMHead(config, body.embeddings.word_embeddings.weight)
        return MaskedLM(prefix, body, "cls", head)
    raise UnsupportedTask(task)


def build(config: Config, task: str) -> Model:
    """Build the model of a config for a task."""
    config = config.completed(_DEFAULTS)
    if config.get("model_type") == "ernie":
        return build_bert(config, task, "ernie", lambda body: body(config, TaskEmbeddings(config)))
    return build_bert(config, task, "bert", lambda body: body(config))
