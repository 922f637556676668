"""Tasks: which of them a decoder's language-modelling head serves, and the heads that families share."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vramlint.memory.dtypes import FLOAT32, INT64
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
from vramlint.memory.families.layers import KeyValueCache, causal_lm_loss
from vramlint.memory.modules import Linear, Module, parameter_tensor
from vramlint.memory.objectives import as_returned
from vramlint.memory.offload import sparing_head, sparing_loss
from vramlint.memory.operators.elementwise import cast, narrow
from vramlint.memory.operators.fused_loss import cut_loss, liger_loss, tiled_loss
from vramlint.memory.operators.indexing import take_rows
from vramlint.memory.operators.softmax import cross_entropy
from vramlint.memory.tape import Dim, Tensor

if TYPE_CHECKING:
    from collections.abc import Callable

LANGUAGE_MODELLING = frozenset({"causal-lm"})


def require_language_modelling(task: str) -> None:
    """Raise UnsupportedTask for a task that needs another head."""
    if task not in LANGUAGE_MODELLING:
        raise UnsupportedTask(task)


_FUSED = {
    "liger": liger_loss,
    "chunked": tiled_loss,
    "chunked_nll": tiled_loss,
    "cut-cross-entropy": cut_loss,
}
SMOOTHED = "label-smoothing"
LOSSES = frozenset({"default", SMOOTHED, *_FUSED})


def class_loss(logits: Tensor, labels: Tensor, regime: Regime) -> Tensor | None:
    """Return the cross-entropy of logits; none where the loop computes a smoothed one from them by itself."""
    return None if regime.loss == SMOOTHED else cross_entropy(logits, labels)


def language_modelling(
    hidden: Tensor,
    head: Linear,
    regime: Regime,
    cache: KeyValueCache | None,
    adjust: Callable[[Tensor], Tensor] | None = None,
) -> Output:
    """Return the loss of next-token prediction, or in generation the logits of the last token."""
    arena, held = hidden.tape.arena, cache.tensors if cache else []
    arena.label = "logits"
    if regime.generates:
        return Output(None, head(narrow(hidden, 1, 1)), held)
    if regime.loss in _FUSED:
        arena.label = "loss"
        with sparing_head(hidden.tape):
            return Output(_FUSED[regime.loss](hidden, parameter_tensor(head.weight)), None, held)
    if regime.kept is not None:
        hidden = narrow(hidden, 1, min(regime.kept, hidden.shape[1]))
    with sparing_head(hidden.tape):
        logits = head(hidden)
    if adjust is not None:
        logits = adjust(logits)
    if regime.objective is not None:
        logits = as_returned(logits)
        arena.label = "loss"
        return Output(regime.objective.loss(logits), logits, held)
    if regime.logits == "copied":
        logits = cast(logits, FLOAT32)
    if regime.loss == SMOOTHED:
        return Output(None, logits, held)
    with sparing_loss(hidden.tape):
        return Output(causal_lm_loss(logits, regime.logits), logits, held)


def label_count(config: Config) -> Dim:
    """Return the number of classes: `num_labels`, else the length of `id2label`, else two."""
    named = config.get("id2label")
    return config.size("C", "num_labels", default=len(named) if named else 2)


def class_inputs(sizes: Sizes) -> tuple[InputSpec, ...]:
    """Return the batch of a text classifier: token ids (B, T) and one label per row."""
    rows = Dim(sizes.rows, "B")
    return (InputSpec(("input_ids",), (rows, Dim(sizes.length, "T"))), InputSpec(("labels",), (rows,)))


class LastTokenClassifier(Model):
    """A decoder that classifies by its last token (transformers, GenericForSequenceClassification)."""

    def __init__(self, config: Config, prefix: str, body: Module, width: int | None = None) -> None:
        self.prefix = prefix
        setattr(self, prefix, body)
        self.score = Linear(
            width or config.size("D", "hidden_size", "n_embd"), label_count(config), bias=False
        )

    def inputs(self, sizes: Sizes) -> tuple[InputSpec, ...]:
        """Return token ids and one label per row."""
        return class_inputs(sizes)

    def forward(self, batch: Batch, regime: Regime) -> Output:
        """Return the loss over classes."""
        cache = KeyValueCache() if regime.use_cache else None
        hidden = getattr(self, self.prefix)(batch["input_ids"], regime, cache)
        hidden.tape.arena.label = "logits"
        logits = self.score(hidden)
        rows = logits.tape.empty(logits.shape[:1], INT64)
        pooled = take_rows(logits, (rows, rows), logits.shape[0], logits.shape[-1])
        hidden.tape.arena.label = "loss"
        if regime.objective is not None:
            return Output(regime.objective.loss(as_returned(pooled)), pooled)
        return Output(class_loss(pooled, batch["labels"], regime), pooled, cache.tensors if cache else [])
