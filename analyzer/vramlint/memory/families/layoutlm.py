"""LayoutLM: BERT with an embedding of each token's place on the page (transformers 5.23, models/layoutlm)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vramlint.memory.dtypes import INT64
from vramlint.memory.families import bert
from vramlint.memory.families.bert import build_bert
from vramlint.memory.modules import Embedding
from vramlint.memory.tape import Dim, Tensor

if TYPE_CHECKING:
    from vramlint.memory.families.base import Config, Model, Regime

MODEL_TYPES = ("layoutlm",)

_DEFAULTS = {
    "vocab_size": 30_522,
    "hidden_size": 768,
    "num_hidden_layers": 12,
    "num_attention_heads": 12,
    "intermediate_size": 3_072,
    "max_2d_position_embeddings": 1024,
}


class Embeddings(bert.Embeddings):
    """Token, position, page and token type embeddings, added and normalized."""

    def __init__(self, config: Config) -> None:
        super().__init__(config)
        del self.token_type_ids
        width, places = config.size("D", "hidden_size"), config.size("P", "max_2d_position_embeddings")
        self.x_position_embeddings = Embedding(places, width)
        self.y_position_embeddings = Embedding(places, width)
        self.h_position_embeddings = Embedding(places, width)
        self.w_position_embeddings = Embedding(places, width)

    def forward(self, ids: Tensor) -> Tensor:
        """(B, T) token ids to (B, T, D); the boxes are zeros where a batch has none."""
        tape, shape = ids.tape, ids.shape
        boxes = tape.empty((*shape, 4), INT64)
        types = tape.empty(shape, INT64)
        words = self.word_embeddings(ids)
        places = self.position_embeddings(self.positions(ids))
        left = self.x_position_embeddings(_edge(boxes))
        upper = self.y_position_embeddings(_edge(boxes))
        right = self.x_position_embeddings(_edge(boxes))
        lower = self.y_position_embeddings(_edge(boxes))
        high = self.h_position_embeddings(tape.empty(shape, INT64))
        wide = self.w_position_embeddings(tape.empty(shape, INT64))
        kinds = self.token_type_embeddings(types)
        embeddings = words + places + left + upper + right + lower + high + wide + kinds
        return self.dropout(self.LayerNorm(embeddings))  # type: ignore[no-any-return]


def _edge(boxes: Tensor) -> Tensor:
    """`bbox[:, :, i]`: a view."""
    return Tensor(boxes.shape[:2], INT64, boxes.storage, contiguous=False)


def _masked(embedded: Tensor, regime: Regime) -> Tensor | None:
    if regime.attention not in {"sdpa", "eager"}:
        return None
    return embedded.tape.empty((embedded.shape[0], 1, 1, Dim(embedded.shape[1], "S")), embedded.dtype)


class PooledBody(bert.PooledBody):
    """Embeddings, encoder and pooler; there is a mask even where all tokens are seen."""

    def mask(self, embedded: Tensor, regime: Regime) -> Tensor | None:
        """Return an additive mask (B, 1, 1, S)."""
        return _masked(embedded, regime)


class IdlePoolerBody(bert.IdlePoolerBody):
    """The same with a pooler whose result nobody uses."""

    def mask(self, embedded: Tensor, regime: Regime) -> Tensor | None:
        """Return an additive mask (B, 1, 1, S)."""
        return _masked(embedded, regime)


def build(config: Config, task: str) -> Model:
    """Build the model of a config for a task."""
    config = config.completed(_DEFAULTS)

    def make(kind: type[bert.Body]) -> bert.Body:
        body = PooledBody if kind is bert.PooledBody else IdlePoolerBody
        return body(config, Embeddings(config))

    return build_bert(config, task, "layoutlm", make, pooled=True)
