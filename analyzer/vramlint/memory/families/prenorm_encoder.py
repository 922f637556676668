"""BERT-like encoders with the norms before each block: Megatron-BERT, XLM-R XL, RoBERTa-PreLayerNorm.

transformers 5.23, models/megatron_bert, xlm_roberta_xl, roberta_prelayernorm.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from vramlint.memory.families import bert, roberta
from vramlint.memory.families.bert import SelfAttention, build_bert, classifier_dropout
from vramlint.memory.families.layers import split_heads
from vramlint.memory.families.roberta import build_roberta, counted_positions
from vramlint.memory.modules import Dropout, LayerNorm, Linear, Module, Stack, carry_out
from vramlint.memory.operators.activations import activation
from vramlint.memory.operators.elementwise import contiguous, dropout, reshape
from vramlint.memory.operators.matmul import batched
from vramlint.memory.operators.softmax import softmax

if TYPE_CHECKING:
    from vramlint.memory.dtypes import DType
    from vramlint.memory.families.base import Config, Model, Regime
    from vramlint.memory.tape import Dim, Shape, Tensor

MODEL_TYPES = ("megatron-bert", "roberta-prelayernorm", "xlm-roberta-xl")


@dataclass(frozen=True, slots=True)
class Traits:
    """In what the families differ: the names of the norms, which part has the second and the last, a dropout.

    `norm_in_mlp`: the second norm belongs to the MLP. `final_in_body`: the last norm lies behind the encoder.
    `returns_weights`: layers return their attention weights, which the loop's variable holds while the next one runs.
    """

    attention_norm: str
    norm: str = "LayerNorm"
    norm_in_mlp: bool = False
    final_in_body: bool = False
    drops_after_mlp: bool = True
    embedding_norm: bool = False
    returns_weights: bool = False


_TRAITS = {
    "megatron-bert": Traits("ln", norm="ln", returns_weights=True),
    "roberta-prelayernorm": Traits("LayerNorm", norm_in_mlp=True, final_in_body=True, embedding_norm=True),
    "xlm-roberta-xl": Traits("self_attn_layer_norm", drops_after_mlp=False),
}
_DEFAULTS = {
    "megatron-bert": {
        "vocab_size": 29_056,
        "hidden_size": 1024,
        "num_hidden_layers": 24,
        "num_attention_heads": 16,
        "intermediate_size": 4096,
    },
    "roberta-prelayernorm": {
        "vocab_size": 50_265,
        "hidden_size": 768,
        "num_hidden_layers": 12,
        "num_attention_heads": 12,
        "intermediate_size": 3072,
    },
    "xlm-roberta-xl": {
        "vocab_size": 250_880,
        "hidden_size": 2560,
        "num_hidden_layers": 36,
        "num_attention_heads": 32,
        "intermediate_size": 10_240,
        "max_position_embeddings": 514,
        "type_vocab_size": 1,
    },
}


class Added(Module):
    """A linear layer, perhaps dropout, and the residual."""

    label = "residual stream"

    def __init__(self, config: Config, inputs: Dim, p: float) -> None:
        self.dense = Linear(inputs, config.size("D", "hidden_size"))
        self.dropout = Dropout(p)

    def forward(self, hidden: Tensor, residual: Tensor) -> Tensor:
        """Return the sum."""
        hidden = self.dense(hidden)
        hidden = self.dropout(hidden)
        return hidden + residual


class WrittenOutAttention(SelfAttention):
    """Megatron-BERT's: the scores have a variable of their own, which lives to the end of the function."""

    def forward(self, x: Tensor, mask: Tensor | None, regime: Regime) -> tuple[Tensor, Tensor | None]:  # noqa: ARG002  it attends in one way
        """(B, T, D) to (B, T, D), and the attention weights."""
        query = split_heads(self.query(x), self.heads, self.head)
        key = split_heads(self.key(x), self.heads, self.head)
        value = split_heads(self.value(x), self.heads, self.head)
        scores = batched(query, key.transposed(2, 3))
        scores = scores * 1.0
        if mask is not None:
            scores = scores + mask
        weights = softmax(scores)
        weights = dropout(weights, self.p)
        out = batched(weights, value)
        out = contiguous(out.transposed(1, 2))
        return reshape(out, *x.shape), weights


class Attention(Module):
    """A norm, self-attention, its output projection and the residual."""

    label = "attention"

    def __init__(self, config: Config, traits: Traits) -> None:
        width = config.size("D", "hidden_size")
        self.name = traits.attention_norm
        setattr(self, self.name, LayerNorm(width))
        self.self = (WrittenOutAttention if traits.returns_weights else SelfAttention)(config)
        self.output = Added(config, width, config.get("hidden_dropout_prob", 0.1))

    def forward(self, x: Tensor, mask: Tensor | None, regime: Regime) -> tuple[Tensor, Tensor | None]:
        """(B, T, D) to (B, T, D), and the attention weights."""
        normed = getattr(self, self.name)(x)
        out, weights = self.self(normed, mask, regime)
        out = self.output(out, x)
        return out, weights


class Intermediate(Module):
    """Perhaps a norm, the first linear layer of the MLP and its activation."""

    label = "mlp"

    def __init__(self, config: Config, traits: Traits) -> None:
        width = config.size("D", "hidden_size")
        if traits.norm_in_mlp:
            self.LayerNorm = LayerNorm(width)
        self.dense = Linear(width, config.size("F", "intermediate_size"))
        self.act = activation(config.get("hidden_act", "gelu"))

    def forward(self, hidden: Tensor) -> Tensor:
        """(B, T, D) to (B, T, F)."""
        norm = vars(self).get("LayerNorm")
        if norm is not None:
            hidden = norm(hidden)
        hidden = self.dense(hidden)
        return self.act(hidden)


class Previous:
    """The variable that holds what the last layer returned: the encoder's loop's, then reentrant checkpointing's."""

    def __init__(self, *, reentrant: bool) -> None:
        self.weights: Tensor | None = None
        self.zeros: Tensor | None = None
        self.like: tuple[Shape, DType] | None = None
        self.in_loop = True
        self.reentrant = reentrant

    def enter(self, x: Tensor) -> None:
        """Begin a layer; one that is computed again in a call of the engine lets go when backward is through.

        CheckpointFunction.backward is given zeros as the gradient of the weights, which nobody used.
        """
        if self.reentrant and not self.in_loop and self.like is not None:
            self.zeros = x.tape.empty(*self.like)
            x.tape.when_backward_passes(self.end)

    def become(self, weights: Tensor) -> None:
        """Hold a layer's attention weights instead of those of the layer before."""
        if not self.in_loop:
            self.weights = weights if self.reentrant else None
            return
        entered = (self.weights or weights).storage.key
        self.weights, self.like = weights, (weights.shape, weights.dtype)
        carry_out(weights, entered)

    def end(self) -> None:
        """Let go: the loop is over."""
        self.in_loop, self.weights, self.zeros = False, None, None


class Layer(Module):
    """Pre-norm attention and MLP."""

    def __init__(self, config: Config, traits: Traits) -> None:
        p = config.get("hidden_dropout_prob", 0.1) if traits.drops_after_mlp else 0.0
        self.attention = Attention(config, traits)
        self.name = None if traits.norm_in_mlp else traits.norm
        if self.name:
            setattr(self, self.name, LayerNorm(config.size("D", "hidden_size")))
        self.intermediate = Intermediate(config, traits)
        self.output = Added(config, config.size("F", "intermediate_size"), p)

    def forward(
        self, hidden: Tensor, mask: Tensor | None, regime: Regime, previous: Previous | None = None
    ) -> Tensor:
        """(B, T, D) to (B, T, D)."""
        if previous is not None:
            previous.enter(hidden)
        attended, weights = self.attention(hidden, mask, regime)
        normed = getattr(self, self.name)(attended) if self.name else attended
        out = self.output(self.intermediate(normed), attended)
        if previous is not None and weights is not None:
            del normed, attended
            previous.become(weights)
        del weights  # the caller's variable lives to its end
        return out  # type: ignore[no-any-return]


class Encoder(Module):
    """The layers, and perhaps the last norm."""

    def __init__(self, config: Config, traits: Traits) -> None:
        self.layer = Stack(config.size("L", "num_hidden_layers"), lambda _: Layer(config, traits))
        self.returns_weights = traits.returns_weights
        self.name = None if traits.final_in_body else traits.norm
        if self.name:
            setattr(self, self.name, LayerNorm(config.size("D", "hidden_size")))

    def forward(self, hidden: Tensor, mask: Tensor | None, regime: Regime) -> Tensor:
        """Run all layers."""
        previous = Previous(reentrant=self.layer.how.reentrant) if self.returns_weights else None
        hidden = self.layer(hidden, mask, regime, previous)
        hidden = getattr(self, self.name)(hidden) if self.name else hidden
        if previous is not None:
            previous.end()
        return hidden


class BareEmbeddings(bert.Embeddings):
    """BERT's embeddings without a norm."""

    def __init__(self, config: Config) -> None:
        super().__init__(config)
        del self.LayerNorm

    def finish(self, embeddings: Tensor, ids: Tensor) -> Tensor:  # noqa: ARG002  as its siblings
        """Leave the sum as it is."""
        return embeddings


class BareCountedEmbeddings(BareEmbeddings):
    """The same with counted positions."""

    def positions(self, ids: Tensor) -> Tensor:
        """Return the positions of the tokens: (B, T)."""
        return counted_positions(ids)


class Body(bert.Body):
    """Embeddings, encoder, and perhaps the last norm."""

    def __init__(self, config: Config, traits: Traits) -> None:
        made = roberta.CountedEmbeddings if traits.embedding_norm else BareCountedEmbeddings
        self.embeddings = made(config)
        self.encoder = Encoder(config, traits)  # type: ignore[assignment]
        if traits.final_in_body:
            self.LayerNorm = LayerNorm(config.size("D", "hidden_size"))

    def forward(self, ids: Tensor, regime: Regime) -> Tensor:
        """(B, T) token ids to (B, T, D)."""
        hidden = super().forward(ids, regime)
        norm = vars(self).get("LayerNorm")
        return norm(hidden) if norm is not None else hidden


def _megatron(config: Config, kind: type[bert.Body]) -> bert.Body:
    """Return Megatron-BERT's body, which attends in one way only: written out."""

    class EagerBody(kind):  # type: ignore[misc, valid-type]
        """The body, whatever attention the plan asks for."""

        def forward(self, ids: Tensor, regime: Regime) -> object:
            return super().forward(ids, replace(regime, attention="eager"))

    body = EagerBody(config, BareEmbeddings(config))
    body.encoder = Encoder(config, _TRAITS["megatron-bert"])
    return body


def build(config: Config, task: str) -> Model:
    """Build the model of a config for a task."""
    kind = str(config.get("model_type"))
    config = config.completed(_DEFAULTS[kind])
    if kind == "megatron-bert":
        return build_bert(config, task, "bert", lambda body: _megatron(config, body))
    prefix = "roberta" if kind == "xlm-roberta-xl" else "roberta_prelayernorm"
    body = Body(config, _TRAITS[kind])
    return build_roberta(config, task, prefix, body, classifier_dropout(config))
