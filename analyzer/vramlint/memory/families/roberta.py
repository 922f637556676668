"""RoBERTa, XLM-R, CamemBERT and data2vec: BERT's encoder with positions counted from the tokens and heads of their own.

transformers 5.23, models/roberta and its copies.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from vramlint.memory.dtypes import BOOL, INT32, INT64
from vramlint.memory.families.base import Config, Model, UnsupportedTask
from vramlint.memory.families.bert import Body, Embeddings, classifier_dropout, tied_decoder
from vramlint.memory.families.encoder import (
    FirstTokenClassifier,
    MaskedLM,
    QuestionAnswerer,
    TokenClassifier,
    first_token,
)
from vramlint.memory.families.heads import label_count
from vramlint.memory.modules import Dropout, LayerNorm, Linear, Module, Parameter
from vramlint.memory.operators.elementwise import unary, unary_saving_result

if TYPE_CHECKING:
    from vramlint.memory.tape import Tensor

MODEL_TYPES = ("camembert", "data2vec-text", "roberta", "xlm-roberta")

_DEFAULTS = {
    "vocab_size": 50_265,
    "hidden_size": 768,
    "num_hidden_layers": 12,
    "num_attention_heads": 12,
    "intermediate_size": 3_072,
}


def counted_positions(ids: Tensor) -> Tensor:
    """Return positions (B, T) that count the tokens which are no padding (create_position_ids_from_input_ids)."""
    tape, shape = ids.tape, ids.shape
    differs = tape.empty(shape, BOOL)
    mask = tape.empty(shape, INT32)
    del differs
    summed = tape.empty(shape, INT64)
    counts = tape.empty(shape, INT32)
    del summed
    counts = tape.empty(shape, INT32)
    wide = tape.empty(shape, INT64)
    del mask, counts
    shifted = tape.empty(shape, INT64)
    del wide
    return shifted


class CountedEmbeddings(Embeddings):
    """BERT's embeddings with counted positions."""

    def positions(self, ids: Tensor) -> Tensor:
        """Return the positions of the tokens: (B, T)."""
        return counted_positions(ids)


class ClassificationHead(Module):
    """Two linear layers on the first token."""

    label = "classifier"

    def __init__(self, config: Config, p: float) -> None:
        width = config.size("D", "hidden_size")
        self.dense = Linear(width, width)
        self.dropout = Dropout(p)
        self.out_proj = Linear(width, label_count(config))

    def activate(self, x: Tensor) -> Tensor:
        """Apply the activation between the two layers."""
        return unary_saving_result(x)

    def forward(self, hidden: Tensor) -> Tensor:
        """(B, T, D) to (B, C)."""
        x = first_token(hidden)
        x = self.dropout(x)
        x = self.dense(x)
        x = self.activate(x)
        x = self.dropout(x)
        return self.out_proj(x)  # type: ignore[no-any-return]


class LMHead(Module):
    """The masked language modelling head; its output layer is tied to the token embedding."""

    def __init__(self, config: Config, tied: Parameter) -> None:
        width = config.size("D", "hidden_size")
        self.dense = Linear(width, width)
        self.layer_norm = LayerNorm(width)
        self.decoder = tied_decoder(config, width, tied)
        self.bias = self.decoder.bias

    def forward(self, hidden: Tensor) -> Tensor:
        """(B, T, D) to (B, T, V)."""
        hidden = self.dense(hidden)
        hidden = unary(hidden)
        hidden = self.layer_norm(hidden)
        return self.decoder(hidden)  # type: ignore[no-any-return]


def build_roberta(config: Config, task: str, prefix: str, body: Any, p: float) -> Model:
    """Put the head for a task on a body; `p` is the dropout before the classifier."""
    if task == "sequence-classification":
        return FirstTokenClassifier(prefix, body, ClassificationHead(config, p))
    if task == "token-classification":
        return TokenClassifier(prefix, body, Linear(config.size("D", "hidden_size"), label_count(config)), p)
    if task == "question-answering":
        return QuestionAnswerer(config, prefix, body)
    if task == "masked-lm":
        return MaskedLM(prefix, body, "lm_head", LMHead(config, body.embeddings.word_embeddings.weight))
    raise UnsupportedTask(task)


def build(config: Config, task: str) -> Model:
    """Build the model of a config for a task."""
    config = config.completed(_DEFAULTS)
    body = Body(config, CountedEmbeddings(config))
    prefix = "data2vec_text" if config.get("model_type") == "data2vec-text" else "roberta"
    return build_roberta(config, task, prefix, body, classifier_dropout(config))
