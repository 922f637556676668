"""DeBERTa v2 and v3: attention to content and to relative positions (transformers 5.23, models/deberta_v2)."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

from vramlint.memory.dtypes import BOOL, FLOAT32, INT64, DType
from vramlint.memory.families.base import Batch, Config, Model, Output, Regime, UnsupportedTask
from vramlint.memory.families.bert import AddAndNorm, Intermediate, OnlyMLMHead
from vramlint.memory.families.encoder import (
    FirstTokenClassifier,
    MaskedLM,
    QuestionAnswerer,
    TokenClassifier,
    first_token,
)
from vramlint.memory.families.heads import class_loss, label_count
from vramlint.memory.families.speech import Conv1d
from vramlint.memory.modules import (
    Buffer,
    Dropout,
    Embedding,
    LayerNorm,
    Linear,
    Module,
    Stack,
    carry_out,
    parameter_tensor,
)
from vramlint.memory.operators.activations import activation
from vramlint.memory.operators.elementwise import (
    add_inplace,
    contiguous,
    copy,
    dropout,
    masked_fill,
    repeat_first,
    reshape,
)
from vramlint.memory.operators.indexing import gather
from vramlint.memory.operators.matmul import batched
from vramlint.memory.operators.softmax import softmax
from vramlint.memory.tape import Dim, Tensor

if TYPE_CHECKING:
    from collections.abc import Callable

MODEL_TYPES = ("deberta-v2",)

_DEFAULTS: dict[str, Any] = {
    "vocab_size": 128_100,
    "hidden_size": 1536,
    "num_hidden_layers": 24,
    "num_attention_heads": 24,
    "intermediate_size": 6144,
    "max_position_embeddings": 512,
    "type_vocab_size": 0,
    "position_biased_input": True,
    "hidden_dropout_prob": 0.1,
    "attention_probs_dropout_prob": 0.1,
}


def position_kinds(config: Config) -> list[str]:
    """Return the kinds of attention to positions: `c2p`, `p2c`."""
    kinds = config.get("pos_att_type", [])
    return [kind.strip() for kind in kinds.lower().split("|")] if isinstance(kinds, str) else list(kinds)


def position_span(config: Config) -> Dim:
    """Return how many relative positions there are to one side."""
    buckets = config.get("position_buckets", -1)
    if buckets > 0:
        return Dim(buckets, "R")
    most = config.get("max_relative_positions", -1)
    return Dim(most if most > 0 else config.get("max_position_embeddings"), "R")


class Embeddings(Module):
    """Token embeddings, with positions and token types where the config wants them."""

    label = "embedding"

    def __init__(self, config: Config) -> None:
        inner = config.size("D", "hidden_size")
        width = config.size("E", "embedding_size", default=inner)
        positions = config.size("P", "max_position_embeddings")
        self.word_embeddings = Embedding(config.size("V", "vocab_size"), width)
        if config.get("position_biased_input"):
            self.position_embeddings = Embedding(positions, width)
        if config.get("type_vocab_size") > 0:
            self.token_type_embeddings = Embedding(config.get("type_vocab_size"), width)
        if width != inner:
            self.embed_proj = Linear(width, inner, bias=False)
        self.LayerNorm = LayerNorm(inner)
        self.dropout = Dropout(config.get("hidden_dropout_prob"))
        self.position_ids = Buffer(1, positions, dtype=INT64)

    def forward(self, ids: Tensor, mask: Tensor) -> Tensor:
        """(B, T) token ids to (B, T, D)."""
        assert self.position_ids.tensor is not None
        parts = vars(self)
        types = ids.tape.empty(ids.shape, INT64)
        tokens = self.word_embeddings(ids)
        if "position_embeddings" in parts:
            places = parts["position_embeddings"](self.position_ids.tensor.view(1, ids.shape[1]))
            embeddings = tokens + places
        else:
            places = ids.tape.empty(tokens.shape, tokens.dtype)
            embeddings = tokens
        if "token_type_embeddings" in parts:
            embeddings = embeddings + parts["token_type_embeddings"](types)
        if "embed_proj" in parts:
            embeddings = parts["embed_proj"](embeddings)
        embeddings = self.LayerNorm(embeddings)
        embeddings = embeddings * mask.tape.empty((*ids.shape, 1), embeddings.dtype)
        return self.dropout(embeddings)  # type: ignore[no-any-return]


class SelfAttention(Module):
    """Disentangled self-attention."""

    def __init__(self, config: Config) -> None:
        width = config.size("D", "hidden_size")
        self.heads = config.size("N", "num_attention_heads")
        self.head = config.size("H", "attention_head_size", default=width // self.heads)
        inner = Dim(self.heads * self.head, "N·H")
        self.query_proj, self.key_proj, self.value_proj = (Linear(width, inner) for _ in range(3))
        self.relative = bool(config.get("relative_attention", default=False))
        self.kinds = position_kinds(config) if self.relative else []
        self.shared = bool(config.get("share_att_key", default=False))
        if not self.shared and "c2p" in self.kinds:
            self.pos_key_proj = Linear(width, inner)
        if not self.shared and "p2c" in self.kinds:
            self.pos_query_proj = Linear(width, inner)
        self.position_p = config.get("hidden_dropout_prob")
        self.p = config.get("attention_probs_dropout_prob")

    def _rows(self, x: Tensor) -> Tensor:
        """(B, T, N·H) to (B·N, T, H), a copy."""
        batch, length, _ = x.shape
        split = contiguous(x.view(batch, length, self.heads, self.head).transposed(1, 2))
        return split.view(batch * self.heads, length, self.head)

    def forward(self, x: Tensor, mask: Tensor, places: Tensor | None, positions: Tensor | None) -> Tensor:
        """(B, T, D) to (B, T, D); `places` are relative positions (1, T, T), `positions` their embeddings."""
        query, key, value = (
            self._rows(self.query_proj(x)),
            self._rows(self.key_proj(x)),
            self._rows(self.value_proj(x)),
        )
        scores = batched(query, key.transposed(-1, -2) * 0.125)
        bias = None
        if positions is not None and places is not None:
            positions = dropout(positions, self.position_p)
            bias = self._position_scores(query, key, places, positions)
            scores = scores + bias
        batch, length = x.shape[0], x.shape[1]
        scores = scores.view(batch, self.heads, length, length)
        mask = x.tape.empty(mask.shape, BOOL)
        scores = masked_fill(scores, x.tape.empty(mask.shape, BOOL))
        weights = softmax(scores)
        weights = dropout(weights, self.p)
        out = batched(weights.view(batch * self.heads, length, length), value)
        out = contiguous(out.view(batch, self.heads, length, self.head).transposed(1, 2))
        del bias  # the function's variables live to its end
        return reshape(out, batch, length, self.heads * self.head)

    def _position_scores(self, query: Tensor, key: Tensor, places: Tensor, positions: Tensor) -> Tensor:
        """Return what content gives to positions and positions to content: (B·N, T, T)."""
        times = query.shape[0] // self.heads
        rows = positions.view(1, *positions.shape)
        queries = keys = None
        if "p2c" in self.kinds:
            project = self.query_proj if self.shared else self.pos_query_proj
            queries = repeat_first(self._rows(project(rows)), times)
        if "c2p" in self.kinds:
            project = self.key_proj if self.shared else self.pos_key_proj
            keys = repeat_first(self._rows(project(rows)), times)
        score = None
        if keys is not None:
            content = _looked_up(query, keys, places)
            score = content * 0.125 + 0.0
        if queries is not None:
            position = _looked_up(key, queries, places)
            scaled = position.transposed(-1, -2) * 0.125
            score = scaled + 0.0 if score is None else add_inplace(score, scaled)
            del scaled
        assert score is not None
        return score


def _looked_up(rows: Tensor, positions: Tensor, places: Tensor) -> Tensor:
    """Return the score of each pair: that of all relative positions, looked up at the pair's."""
    scores = batched(rows, positions.transposed(-1, -2))
    index = copy(places)
    return gather(scores, index, scores.shape[0], places.shape[-2], places.shape[-1])


class Attention(Module):
    """Attention, its output projection and the residual."""

    label = "attention"

    def __init__(self, config: Config) -> None:
        self.self: Module = SelfAttention(config)
        self.output = AddAndNorm(config, config.size("D", "hidden_size"))

    def forward(self, x: Tensor, mask: Tensor, places: Tensor | None, positions: Tensor | None) -> Tensor:
        """(B, T, D) to (B, T, D)."""
        out = self.self(x, mask, places, positions)
        return self.output(out, x)  # type: ignore[no-any-return]


class Layer(Module):
    """Post-norm attention and MLP."""

    def __init__(self, config: Config, attention: Callable[[Config], Module] = Attention) -> None:
        self.attention = attention(config)
        self.intermediate = Intermediate(config)
        self.output = AddAndNorm(config, config.size("F", "intermediate_size"))

    def forward(
        self, hidden: Tensor, mask: Tensor, places: Tensor | None, positions: Tensor | None
    ) -> Tensor:
        """(B, T, D) to (B, T, D)."""
        attended = self.attention(hidden, mask, places, positions)
        inner = self.intermediate(attended)
        return self.output(inner, attended)  # type: ignore[no-any-return]


class ConvLayer(Module):
    """A convolution of the embeddings that is added to the first layer's output."""

    label = "convolution"

    def __init__(self, config: Config, kernel: int) -> None:
        width = config.size("D", "hidden_size")
        groups = config.get("conv_groups", 1)
        self.conv = Conv1d(width, width, kernel, padding=(kernel - 1) // 2, groups=groups)
        self.LayerNorm = LayerNorm(width)
        self.dropout = Dropout(config.get("hidden_dropout_prob"))
        self.act = activation(config.get("conv_act", "tanh"))

    def forward(self, hidden: Tensor, residual: Tensor) -> Tensor:
        """Return the first layer's output with the convolution in it."""
        out = self.conv(contiguous(hidden.transposed(1, 2)))
        out = contiguous(out.transposed(1, 2))
        out = self.act(self.dropout(out))
        summed = residual + out
        normed = self.LayerNorm(summed)
        return normed * hidden.tape.empty((*hidden.shape[:2], 1), normed.dtype)  # type: ignore[no-any-return]


class HoldingStack(Stack):
    """A stack that keeps the output of every layer until the body returns (output_hidden_states=True)."""

    def run(self, x: Tensor, conv: Module | None, *args: Any) -> tuple[Tensor, list[Tensor]]:
        """Run all layers; return the last output and those that nothing else keeps."""
        held: list[Tensor] = []
        first = x
        for number, group in enumerate(self.groups):
            entered = x.storage.key
            with x.tape.repeat(len(group[0].indices)):
                for part in group:
                    storage = x.storage
                    x = self._run(part, x, *args)
                    if number == 0 and conv is not None:
                        x = conv(first, x)
                    if sys.getrefcount(storage) == _ONLY_HERE:
                        shape, dtype = storage.key.shape, _dtype_of(storage.key.bits)
                        del storage
                        held.append(x.tape.empty(shape, dtype))
                carry_out(x, entered)
        return x, held


_ONLY_HERE = 2  # the variable, and the argument of getrefcount


def _dtype_of(bits: int) -> DType:
    return FLOAT32 if bits == FLOAT32.bits else DType("half", bits)


class Encoder(Module):
    """The layers, and the embeddings of relative positions that they share."""

    def __init__(self, config: Config, layer: Callable[[Config], Module] = Layer) -> None:
        count, width = config.size("L", "num_hidden_layers"), config.size("D", "hidden_size")
        kinds = [index == count - 1 for index in range(count)]  # the last layer starts the shared gradient
        self.layer = HoldingStack(count, lambda _: layer(config), kinds)
        self.relative = bool(config.get("relative_attention", default=False))
        if self.relative:
            self.rel_embeddings = Embedding(Dim(2 * position_span(config), "2R"), width)
        if "layer_norm" in str(config.get("norm_rel_ebd", "none")).lower():
            self.LayerNorm = LayerNorm(width)
        kernel = config.get("conv_kernel_size", 0)
        if kernel > 0:
            self.conv = ConvLayer(config, kernel)

    def forward(self, hidden: Tensor, regime: Regime) -> Tensor:
        """(B, T, D) to (B, T, D)."""
        batch, length, _ = hidden.shape
        mask = hidden.tape.empty((batch, 1, length, length), INT64 if regime.padding_mask else FLOAT32)
        places = positions = None
        if self.relative:
            places = hidden.tape.empty((1, length, length), INT64)
            positions = parameter_tensor(self.rel_embeddings.weight)
            norm = vars(self).get("LayerNorm")
            positions = norm(positions) if norm is not None else positions
        out, held = self.layer.run(hidden, vars(self).get("conv"), mask, places, positions)
        del held
        return out


class Body(Module):
    """Embeddings and encoder."""

    def __init__(self, config: Config) -> None:
        self.embeddings = Embeddings(config)
        self.encoder = Encoder(config)

    def forward(self, ids: Tensor, regime: Regime) -> Tensor:
        """(B, T) token ids to (B, T, D)."""
        mask = ids.tape.empty(ids.shape, INT64 if regime.padding_mask else FLOAT32)
        embedded = self.embeddings(ids, mask)
        return self.encoder(embedded, regime)  # type: ignore[no-any-return]


class ContextPooler(Module):
    """A linear layer and an activation on the first token."""

    label = "pooler"

    def __init__(self, config: Config) -> None:
        width = config.size("D", "hidden_size")
        self.dense = Linear(width, width)
        self.dropout = Dropout(config.get("pooler_dropout", 0.0))
        self.act = activation(config.get("pooler_hidden_act", "gelu"))

    def forward(self, hidden: Tensor) -> Tensor:
        """(B, T, D) to (B, D)."""
        first = self.dropout(first_token(hidden))
        return self.act(self.dense(first))


class SequenceClassifier(FirstTokenClassifier):
    """A pooler, dropout and a linear layer."""

    def __init__(self, config: Config, body: Module) -> None:
        super().__init__("deberta", body, Linear(config.size("D", "hidden_size"), label_count(config)))
        self.pooler = ContextPooler(config)
        self.dropout = Dropout(config.get("cls_dropout", config.get("hidden_dropout_prob")))

    def forward(self, batch: Batch, regime: Regime) -> Output:
        """Return the loss over classes."""
        hidden = getattr(self, self.prefix)(batch["input_ids"], regime)
        pooled = self.pooler(hidden)
        pooled = self.dropout(pooled)
        logits = self.classifier(pooled)
        logits.tape.arena.label = "loss"
        return Output(class_loss(logits, batch["labels"], regime), logits)


def build_deberta(config: Config, task: str, body: Any) -> Model:
    """Put the head for a task on a body."""
    if task == "sequence-classification":
        return SequenceClassifier(config, body)
    if task == "token-classification":
        classifier = Linear(config.size("D", "hidden_size"), label_count(config))
        return TokenClassifier("deberta", body, classifier, config.get("hidden_dropout_prob"))
    if task == "question-answering":
        return QuestionAnswerer(config, "deberta", body)
    if task == "masked-lm" and config.get("legacy", default=True):
        head = OnlyMLMHead(config, body.embeddings.word_embeddings.weight)
        return MaskedLM("deberta", body, "cls", head)
    raise UnsupportedTask(task)


def build(config: Config, task: str) -> Model:
    """Build the model of a config for a task."""
    config = config.completed(_DEFAULTS)
    return build_deberta(config, task, Body(config))
