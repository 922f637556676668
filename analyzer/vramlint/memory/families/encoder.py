"""What encoders share: masks, attention that hands its weights back, and the heads of the text tasks.

They mirror transformers 5.23 (models/bert and the many that copy it).
"""

from __future__ import annotations

from vramlint.memory.dtypes import BOOL, FLOAT32
from vramlint.memory.families.base import Batch, Config, InputSpec, Model, Output, Regime, Sizes
from vramlint.memory.families.heads import class_inputs, class_loss, label_count
from vramlint.memory.families.layers import attend
from vramlint.memory.modules import Dropout, Linear, Module
from vramlint.memory.operators.elementwise import add, cast, contiguous, dropout, split
from vramlint.memory.operators.indexing import select
from vramlint.memory.operators.matmul import batched
from vramlint.memory.operators.softmax import cross_entropy, softmax
from vramlint.memory.tape import Dim, Tensor


def bidirectional_mask(x: Tensor, regime: Regime, keys: Tensor | None = None) -> Tensor | None:
    """Return the mask of layers that see every token: none unless the batch is padded (masking_utils.py).

    SDPA gets a boolean (B, 1, T, S), eager attention an additive one in the type of x; S is the length
    of `keys`, by default of x.
    """
    if not regime.padding_mask or regime.attention not in {"sdpa", "eager"}:
        return None
    seen = (x if keys is None else keys).shape[1]
    dtype = BOOL if regime.attention == "sdpa" else x.dtype
    return x.tape.empty((x.shape[0], 1, x.shape[1], Dim(seen, "S")), dtype)


def attend_everywhere(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    mask: Tensor | None,
    regime: Regime,
    *,
    p: float = 0.0,
    causal: bool = False,
    scaled: bool = True,
    upcast: bool = False,
) -> tuple[Tensor, Tensor | None]:
    """Attention on (B, heads, T, H) as (B, T, heads, H), and its weights where the eager form has made them.

    The eager form is BERT's: softmax in its own type, and no cast back, unless `upcast` asks for fp32.
    """
    if regime.attention != "eager":
        return attend(query, key, value, mask, regime, p=p, causal=causal), None
    weights = batched(query, key.transposed(2, 3))
    if scaled:
        weights = weights * 1.0
    if mask is not None:
        weights = weights + mask
    weights = cast(softmax(weights, FLOAT32), query.dtype) if upcast else softmax(weights)
    weights = dropout(weights, p)
    return contiguous(batched(weights, value).transposed(1, 2)), weights


class FirstTokenClassifier(Model):
    """A body whose hidden states go to a `classifier` that takes the first token's."""

    def __init__(self, prefix: str, body: Module, classifier: Module) -> None:
        self.prefix = prefix
        setattr(self, prefix, body)
        self.classifier = classifier

    def inputs(self, sizes: Sizes) -> tuple[InputSpec, ...]:
        """Return token ids and one label per row."""
        return class_inputs(sizes)

    def forward(self, batch: Batch, regime: Regime) -> Output:
        """Return the loss over classes."""
        hidden = getattr(self, self.prefix)(batch["input_ids"], regime)
        hidden.tape.arena.label = "logits"
        logits = self.classifier(hidden)
        logits.tape.arena.label = "loss"
        return Output(class_loss(logits, batch["labels"], regime), logits)


class PooledClassifier(FirstTokenClassifier):
    """A body that returns hidden states and a pooled one, which dropout and a linear layer classify."""

    def __init__(self, config: Config, prefix: str, body: Module, p: float) -> None:
        super().__init__(prefix, body, Linear(config.size("D", "hidden_size"), label_count(config)))
        self.dropout = Dropout(p)

    def forward(self, batch: Batch, regime: Regime) -> Output:
        """Return the loss over classes."""
        hidden, pooled = getattr(self, self.prefix)(batch["input_ids"], regime)
        held = pooled
        pooled.tape.arena.label = "logits"
        pooled = self.dropout(pooled)
        logits = self.classifier(pooled)
        logits.tape.arena.label = "loss"
        loss = class_loss(logits, batch["labels"], regime)
        del hidden, held  # the body's output lives to the end of the function
        return Output(loss, logits)


class TokenClassifier(Model):
    """A body, dropout, and a linear layer that classifies each token."""

    def __init__(self, prefix: str, body: Module, classifier: Module, p: float) -> None:
        self.prefix = prefix
        setattr(self, prefix, body)
        self.dropout = Dropout(p)
        self.classifier = classifier

    def forward(self, batch: Batch, regime: Regime) -> Output:
        """Return the loss over the classes of all tokens."""
        hidden = getattr(self, self.prefix)(batch["input_ids"], regime)
        outputs = hidden
        hidden.tape.arena.label = "logits"
        hidden = self.dropout(hidden)
        logits = self.classifier(hidden)
        logits.tape.arena.label = "loss"
        loss = class_loss(logits, batch["labels"], regime)
        del outputs
        return Output(loss, logits)


class QuestionAnswerer(Model):
    """A body, and a linear layer that scores each token as the start and as the end of the answer."""

    def __init__(self, config: Config, prefix: str, body: Module, p: float = 0.0) -> None:
        self.prefix = prefix
        setattr(self, prefix, body)
        self.dropout = Dropout(p)
        self.qa_outputs = Linear(config.size("D", "hidden_size"), Dim(2, "C"))

    def inputs(self, sizes: Sizes) -> tuple[InputSpec, ...]:
        """Return token ids, and a start and an end per row."""
        rows = Dim(sizes.rows, "B")
        ids = InputSpec(("input_ids",), (rows, Dim(sizes.length, "T")))
        return (ids, InputSpec(("start_positions",), (rows,)), InputSpec(("end_positions",), (rows,)))

    def forward(self, batch: Batch, regime: Regime) -> Output:
        """Return the mean of both losses."""
        hidden = getattr(self, self.prefix)(batch["input_ids"], regime)
        hidden.tape.arena.label = "logits"
        logits = self.qa_outputs(self.dropout(hidden))
        start, end = (contiguous(part.view(*part.shape[:-1])) for part in split(logits, (1, 1)))
        logits.tape.arena.label = "loss"
        first = cross_entropy(start, batch["start_positions"])
        second = cross_entropy(end, batch["end_positions"])
        return Output(add(first, second) * 0.5, logits, [start, end])


class MaskedLM(Model):
    """A body, and a head called `head_name` that predicts every token from its hidden state."""

    def __init__(self, prefix: str, body: Module, head_name: str, head: Module) -> None:
        self.prefix, self.head_name = prefix, head_name
        setattr(self, prefix, body)
        setattr(self, head_name, head)

    def forward(self, batch: Batch, regime: Regime) -> Output:
        """Return the loss over the vocabulary, computed in the type of the logits."""
        hidden = getattr(self, self.prefix)(batch["input_ids"], regime)
        hidden.tape.arena.label = "logits"
        logits = getattr(self, self.head_name)(hidden)
        logits.tape.arena.label = "loss"
        return Output(class_loss(logits, batch["labels"], regime), logits)


def first_token(hidden: Tensor) -> Tensor:
    """`hidden[:, 0]`: (B, T, D) to (B, D)."""
    return select(hidden, 1)
