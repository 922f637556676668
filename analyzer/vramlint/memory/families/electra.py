"""ELECTRA: BERT's encoder with a narrower embedding (transformers 5.23, models/electra/modeling_electra.py)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vramlint.memory.families.base import Batch, Config, Model, Output, Regime
from vramlint.memory.families.bert import Body, Embeddings, classifier_dropout, tied_decoder
from vramlint.memory.families.encoder import FirstTokenClassifier
from vramlint.memory.families.heads import class_loss
from vramlint.memory.families.roberta import ClassificationHead, build_roberta
from vramlint.memory.modules import LayerNorm, Linear, Module
from vramlint.memory.operators.elementwise import unary

if TYPE_CHECKING:
    from vramlint.memory.tape import Dim, Tensor

MODEL_TYPES = ("electra",)

_DEFAULTS = {
    "vocab_size": 30_522,
    "hidden_size": 256,
    "num_hidden_layers": 12,
    "num_attention_heads": 4,
    "intermediate_size": 1_024,
}


def embedding_width(config: Config) -> Dim:
    """Return the width of the token embedding."""
    return config.size("E", "embedding_size", default=128)


class ProjectedBody(Body):
    """Embeddings, a projection to the encoder's width where that differs, and the encoder."""

    def __init__(self, config: Config) -> None:
        width, inner = embedding_width(config), config.size("D", "hidden_size")
        super().__init__(config, Embeddings(config, width))
        if width != inner:
            self.embeddings_project = Linear(width, inner)

    def embed(self, ids: Tensor) -> Tensor:
        """(B, T) token ids to (B, T, D)."""
        embedded = self.embeddings(ids)
        project = vars(self).get("embeddings_project")
        return project(embedded) if project is not None else embedded  # type: ignore[no-any-return]


class ActivatedHead(ClassificationHead):
    """RoBERTa's classifier with GELU for tanh."""

    def activate(self, x: Tensor) -> Tensor:
        """Apply GELU."""
        return unary(x)


class GeneratorPredictions(Module):
    """The hidden layer of the generator's head."""

    def __init__(self, config: Config) -> None:
        width = embedding_width(config)
        self.LayerNorm = LayerNorm(width)
        self.dense = Linear(config.size("D", "hidden_size"), width)

    def forward(self, hidden: Tensor) -> Tensor:
        """(B, T, D) to (B, T, E)."""
        hidden = self.dense(hidden)
        hidden = unary(hidden)
        return self.LayerNorm(hidden)  # type: ignore[no-any-return]


class Generator(Model):
    """Masked language modelling."""

    def __init__(self, config: Config) -> None:
        self.electra = ProjectedBody(config)
        self.generator_predictions = GeneratorPredictions(config)
        tied = self.electra.embeddings.word_embeddings.weight
        self.generator_lm_head = tied_decoder(config, embedding_width(config), tied)

    def forward(self, batch: Batch, regime: Regime) -> Output:
        """Return the loss over the vocabulary."""
        hidden = self.electra(batch["input_ids"], regime)
        hidden.tape.arena.label = "logits"
        logits = self.generator_predictions(hidden)
        logits = self.generator_lm_head(logits)
        logits.tape.arena.label = "loss"
        return Output(class_loss(logits, batch["labels"], regime), logits)


def build(config: Config, task: str) -> Model:
    """Build the model of a config for a task."""
    config = config.completed(_DEFAULTS)
    if task == "masked-lm":
        return Generator(config)
    body, p = ProjectedBody(config), classifier_dropout(config)
    if task == "sequence-classification":
        return FirstTokenClassifier("electra", body, ActivatedHead(config, p))
    return build_roberta(config, task, "electra", body, p)
