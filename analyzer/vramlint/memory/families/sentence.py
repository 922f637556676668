"""Sentence embedding: an encoder or decoder without a head, run once for each column of the batch, and pooled.

Source: sentence-transformers 5, `models/Pooling.py` (the mean of the tokens) and the losses that hold all columns'
graphs until backward, as MultipleNegativesRankingLoss and CosineSimilarityLoss do.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from vramlint.memory.dtypes import INT64
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
from vramlint.memory.families.bert import Pooler
from vramlint.memory.families.decoder import CausalLM
from vramlint.memory.operators.elementwise import expanded_back
from vramlint.memory.operators.normalization import unit_length
from vramlint.memory.operators.products import matmul
from vramlint.memory.operators.softmax import cross_entropy
from vramlint.memory.tape import Dim

if TYPE_CHECKING:
    from collections.abc import Callable

    from vramlint.memory.modules import Module
    from vramlint.memory.tape import Tensor

TASK = "feature-extraction"
NOTE = "the loss is taken to compare two columns of texts, such as anchor and positive; each further one adds as much"
_COLUMNS = ("first", "second")
# Types whose AutoModel has a pooler, which runs though mean pooling does not ask for it.
_WITH_POOLER = frozenset({"bert", "camembert", "data2vec-text", "ernie", "mpnet", "roberta", "xlm-roberta"})


class SentenceEmbedder(Model):
    """A body, run on two columns of texts, whose tokens' means are compared with each other."""

    def __init__(self, body: Module, pooler: Pooler | None, *, has_cache: bool) -> None:
        self.auto_model = body
        self.pooler = pooler
        self.has_cache = has_cache

    def inputs(self, sizes: Sizes) -> tuple[InputSpec, ...]:
        """Return token ids and mask (B, T) of each column."""
        shape = (Dim(sizes.rows, "B"), Dim(sizes.length, "T"))
        return tuple(InputSpec((name,), shape, INT64) for one in _COLUMNS for name in (one, f"{one}_mask"))

    def forward(self, batch: Batch, regime: Regime) -> Output:
        """Return the contrastive loss; the hidden states stay in the columns' features until it is there."""
        pooled, held = [], []
        for column in _COLUMNS:
            hidden = self._hidden(batch[column], regime)
            if self.pooler is not None:
                with (
                    hidden.tape.no_grad()
                ):  # nothing asks for its gradient, and its graph goes with its output
                    self.pooler(hidden)
            held.append(hidden)
            pooled.append(_mean_of_tokens(hidden))
        first, second = map(unit_length, pooled)
        first.tape.arena.label = "loss"
        scores = matmul(first, second.transposed(0, 1)) * 1.0
        labels = scores.tape.empty((scores.shape[0],), INT64)
        loss = cross_entropy(scores, labels)
        del held
        return Output(loss)

    def _hidden(self, ids: Tensor, regime: Regime) -> Tensor:
        body: Any = self.auto_model
        return body(ids, regime, None) if self.has_cache else body(ids, regime)  # type: ignore[no-any-return]


def _mean_of_tokens(hidden: Tensor) -> Tensor:
    """(B, T, D) to (B, D); the mask is laid out for every number."""
    hidden.tape.arena.label = "pooling"
    mask = hidden.tape.empty(hidden.shape, hidden.dtype)
    shape = (hidden.shape[0], hidden.shape[2])
    masked = hidden * mask
    total = masked.tape.record(masked.tape.empty(shape, masked.dtype), (masked,), expanded_back)
    return total * mask.tape.empty(shape, mask.dtype)


def build_embedder(config: Config, build: Callable[[Config, str], Model]) -> Model:
    """Take the body of a family's model; raises UnsupportedTask where it has none that reads text alone."""
    for task in ("token-classification", "causal-lm"):
        try:
            model: Any = build(config, task)
        except UnsupportedTask:
            continue
        body = getattr(model, getattr(model, "prefix", ""), None)
        if body is None:
            continue
        pooler = Pooler(config) if config.get("model_type") in _WITH_POOLER else None
        return SentenceEmbedder(body, pooler, has_cache=isinstance(model, CausalLM))
    raise UnsupportedTask(TASK)
