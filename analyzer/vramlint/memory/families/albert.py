"""ALBERT: every layer of a group has the same weights (transformers 5.23, models/albert/modeling_albert.py)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vramlint.memory.families.base import Config, Model, Regime, UnsupportedTask
from vramlint.memory.families.bert import Embeddings, tied_decoder
from vramlint.memory.families.electra import embedding_width
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
from vramlint.memory.modules import Buffer, Dropout, LayerNorm, Linear, Module, Parameter
from vramlint.memory.operators.activations import activation
from vramlint.memory.operators.elementwise import reshape, unary_saving_result
from vramlint.memory.tape import Dim, Tensor

if TYPE_CHECKING:
    from collections.abc import Iterator

MODEL_TYPES = ("albert",)

_DEFAULTS = {
    "vocab_size": 30_000,
    "hidden_size": 4_096,
    "num_hidden_layers": 12,
    "num_attention_heads": 64,
    "intermediate_size": 16_384,
    "hidden_dropout_prob": 0.0,
}


class Attention(Module):
    """Multi-head attention, its output projection, the residual and a norm."""

    label = "attention"

    def __init__(self, config: Config) -> None:
        width = config.size("D", "hidden_size")
        self.heads = config.size("N", "num_attention_heads")
        self.head = Dim(width // self.heads, "H")
        self.query, self.key, self.value = Linear(width, width), Linear(width, width), Linear(width, width)
        self.dense = Linear(width, width)
        self.LayerNorm = LayerNorm(width)
        self.p = config.get("attention_probs_dropout_prob", 0.0)
        self.output_dropout = Dropout(config.get("hidden_dropout_prob", 0.0))

    def forward(self, x: Tensor, mask: Tensor | None, regime: Regime) -> tuple[Tensor, Tensor | None]:
        """(B, T, D) to (B, T, D), and the attention weights if there are any."""
        query = split_heads(self.query(x), self.heads, self.head)
        key = split_heads(self.key(x), self.heads, self.head)
        value = split_heads(self.value(x), self.heads, self.head)
        out, weights = attend_everywhere(query, key, value, mask, regime, p=self.p)
        out = reshape(out, *x.shape)
        out = self.dense(out)
        out = self.output_dropout(out)
        out = self.LayerNorm(x + out)
        return out, weights


class Layer(Module):
    """Post-norm attention and MLP."""

    label = "mlp"

    def __init__(self, config: Config) -> None:
        width, inner = config.size("D", "hidden_size"), config.size("F", "intermediate_size")
        self.full_layer_layer_norm = LayerNorm(width)
        self.attention = Attention(config)
        self.ffn = Linear(width, inner)
        self.ffn_output = Linear(inner, width)
        self.act = activation(config.get("hidden_act", "gelu_new"))

    def forward(self, hidden: Tensor, mask: Tensor | None, regime: Regime) -> Tensor:
        """(B, T, D) to (B, T, D)."""
        attended, weights = self.attention(hidden, mask, regime)
        out = self.ffn(attended)
        out = self.act(out)
        out = self.ffn_output(out)
        hidden = self.full_layer_layer_norm(out + attended)
        del weights  # the caller's variable lives to its end
        return hidden


class Group(Module):
    """The layers of one group; each use of the group runs all of them."""

    def __init__(self, config: Config) -> None:
        self.layers = [Layer(config) for _ in range(config.get("inner_group_num", 1))]

    def forward(self, hidden: Tensor, mask: Tensor | None, regime: Regime) -> Tensor:
        """Run the layers."""
        for layer in self.layers:
            hidden = layer(hidden, mask, regime)
        return hidden

    def named_tensors(self, prefix: str = "") -> Iterator[tuple[str, Parameter | Buffer]]:
        """Yield the tensors of the layers."""
        for index, layer in enumerate(self.layers):
            yield from layer.named_tensors(f"{prefix}albert_layers.{index}.")


class Transformer(Module):
    """A projection to the model's width, and the groups; all layers are walked, since they share gradients."""

    def __init__(self, config: Config) -> None:
        self.count = config.size("L", "num_hidden_layers")
        self.embedding_hidden_mapping_in = Linear(embedding_width(config), config.size("D", "hidden_size"))
        self.groups = [Group(config) for _ in range(config.get("num_hidden_groups", 1))]

    def forward(self, hidden: Tensor, mask: Tensor | None, regime: Regime) -> Tensor:
        """(B, T, E) to (B, T, D)."""
        hidden = self.embedding_hidden_mapping_in(hidden)
        for index in range(self.count):
            hidden = self.groups[index * len(self.groups) // self.count](hidden, mask, regime)
        return hidden

    def named_tensors(self, prefix: str = "") -> Iterator[tuple[str, Parameter | Buffer]]:
        """Yield the tensors of the projection and the groups."""
        yield from self.embedding_hidden_mapping_in.named_tensors(f"{prefix}embedding_hidden_mapping_in.")
        for index, group in enumerate(self.groups):
            yield from group.named_tensors(f"{prefix}albert_layer_groups.{index}.")


class Body(Module):
    """Embeddings and layers."""

    def __init__(self, config: Config) -> None:
        self.embeddings = Embeddings(config, embedding_width(config))
        self.encoder = Transformer(config)

    def forward(self, ids: Tensor, regime: Regime) -> Tensor:
        """(B, T) token ids to (B, T, D)."""
        embedded = self.embeddings(ids)
        mask = bidirectional_mask(embedded, regime)
        return self.encoder(embedded, mask, regime)  # type: ignore[no-any-return]


class PooledBody(Body):
    """Embeddings, layers, and a linear layer with tanh on the first token."""

    def __init__(self, config: Config) -> None:
        super().__init__(config)
        width = config.size("D", "hidden_size")
        self.pooler = Linear(width, width)

    def forward(self, ids: Tensor, regime: Regime) -> tuple[Tensor, Tensor]:  # type: ignore[override]
        """(B, T) token ids to (B, T, D) and (B, D)."""
        embedded = self.embeddings(ids)
        mask = bidirectional_mask(embedded, regime)
        hidden = self.encoder(embedded, mask, regime)
        return hidden, unary_saving_result(self.pooler(first_token(hidden)))


class MLMHead(Module):
    """The masked language modelling head; its output layer is tied to the token embedding."""

    def __init__(self, config: Config, tied: Parameter) -> None:
        width = embedding_width(config)
        self.LayerNorm = LayerNorm(width)
        self.dense = Linear(config.size("D", "hidden_size"), width)
        self.decoder = tied_decoder(config, width, tied)
        self.bias = self.decoder.bias
        self.act = activation(config.get("hidden_act", "gelu_new"))

    def forward(self, hidden: Tensor) -> Tensor:
        """(B, T, D) to (B, T, V)."""
        hidden = self.dense(hidden)
        hidden = self.act(hidden)
        hidden = self.LayerNorm(hidden)
        return self.decoder(hidden)  # type: ignore[no-any-return]


def build(config: Config, task: str) -> Model:
    """Build the model of a config for a task."""
    config = config.completed(_DEFAULTS)
    p = config.get("classifier_dropout_prob", 0.1)
    if task == "sequence-classification":
        return PooledClassifier(config, "albert", PooledBody(config), p)
    body = Body(config)
    if task == "token-classification":
        classifier = Linear(config.size("D", "hidden_size"), label_count(config))
        return TokenClassifier("albert", body, classifier, p)
    if task == "question-answering":
        return QuestionAnswerer(config, "albert", body)
    if task == "masked-lm":
        return MaskedLM(
            "albert", body, "predictions", MLMHead(config, body.embeddings.word_embeddings.weight)
        )
    raise UnsupportedTask(task)
