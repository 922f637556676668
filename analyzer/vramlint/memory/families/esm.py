"""ESM 2: a pre-norm encoder of proteins with rotary positions (transformers 5.23, models/esm)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vramlint.memory.dtypes import BOOL, FLOAT32, INT64
from vramlint.memory.families import bert
from vramlint.memory.families.encoder import bidirectional_mask
from vramlint.memory.families.layers import Rotary, attend, rotate, split_heads
from vramlint.memory.families.prenorm_encoder import Added
from vramlint.memory.families.roberta import build_roberta, counted_positions
from vramlint.memory.modules import (
    Buffer,
    Embedding,
    LayerNorm,
    Linear,
    Module,
    Parameter,
    Stack,
    parameter_tensor,
)
from vramlint.memory.operators.activations import written_gelu
from vramlint.memory.operators.elementwise import cast, masked_fill, reshape

if TYPE_CHECKING:
    from vramlint.memory.families.base import Config, Model, Regime
    from vramlint.memory.tape import Tensor

MODEL_TYPES = ("esm",)

_DEFAULTS = {
    "hidden_size": 768,
    "num_hidden_layers": 12,
    "num_attention_heads": 12,
    "intermediate_size": 3072,
    "max_position_embeddings": 1026,
    "position_embedding_type": "absolute",
}

Positions = tuple["Tensor", "Tensor"]


def _turned(x: Tensor, positions: Positions) -> Tensor:
    """Apply rotary embeddings in fp32."""
    if x.dtype is FLOAT32:
        return rotate(x, *positions)
    wide = cast(x, FLOAT32)
    return cast(rotate(wide, *positions), x.dtype)


class Embeddings(Module):
    """Token embeddings, scaled where tokens are masked, perhaps with positions and a norm."""

    label = "embedding"

    def __init__(self, config: Config) -> None:
        width, places = config.size("D", "hidden_size"), config.size("P", "max_position_embeddings")
        self.word_embeddings = Embedding(config.size("V", "vocab_size"), width)
        self.layer_norm = LayerNorm(width) if config.get("emb_layer_norm_before") else None
        self.position_ids = Buffer(1, places, dtype=INT64)
        self.absolute = config.get("position_embedding_type") == "absolute"
        if self.absolute:
            self.position_embeddings = Embedding(places, width)
        self.drops_tokens = config.get("token_dropout", default=False)

    def forward(self, ids: Tensor) -> Tensor:
        """(B, T) token ids to (B, T, D)."""
        tape, positions = ids.tape, counted_positions(ids)
        embeddings = self.word_embeddings(ids)
        if self.drops_tokens:
            masked = tape.empty((*ids.shape, 1), BOOL)
            embeddings = masked_fill(embeddings, masked)
            ratio = tape.empty((ids.shape[0], 1, 1), FLOAT32)
            embeddings = cast(embeddings * 1.0 * ratio, self.word_embeddings.weight.dtype)
        if self.absolute:
            embeddings = embeddings + self.position_embeddings(positions)
        return embeddings if self.layer_norm is None else self.layer_norm(embeddings)  # type: ignore[no-any-return]


class SelfAttention(bert.SelfAttention):
    """Multi-head attention whose query is scaled first, and whose heads may turn."""

    def attended(self, x: Tensor, mask: Tensor | None, positions: Positions | None, regime: Regime) -> Tensor:
        """(B, T, D) to (B, T, D)."""
        query = split_heads(self.query(x), self.heads, self.head)
        key = split_heads(self.key(x), self.heads, self.head)
        value = split_heads(self.value(x), self.heads, self.head)
        query = query * 1.0
        if positions is not None:
            query, key = _turned(query, positions), _turned(key, positions)
        out = attend(query, key, value, mask, regime, p=self.p, causal=False, upcast=False)
        return reshape(out, *x.shape)


class Attention(Module):
    """A norm, self-attention, its output projection and the residual."""

    label = "attention"

    def __init__(self, config: Config) -> None:
        width = config.size("D", "hidden_size")
        self.self = SelfAttention(config)
        self.output = Added(config, width, config.get("hidden_dropout_prob", 0.1))
        self.LayerNorm = LayerNorm(width)

    def forward(self, x: Tensor, mask: Tensor | None, positions: Positions | None, regime: Regime) -> Tensor:
        """(B, T, D) to (B, T, D)."""
        normed = self.LayerNorm(x)
        out = self.self.attended(normed, mask, positions, regime)
        return self.output(out, x)  # type: ignore[no-any-return]


class Intermediate(Module):
    """The first linear layer of the MLP and its activation."""

    label = "mlp"

    def __init__(self, config: Config) -> None:
        self.dense = Linear(config.size("D", "hidden_size"), config.size("F", "intermediate_size"))

    def forward(self, hidden: Tensor) -> Tensor:
        """(B, T, D) to (B, T, F)."""
        hidden = self.dense(hidden)
        return written_gelu(hidden)


class Layer(Module):
    """Pre-norm attention and MLP."""

    def __init__(self, config: Config) -> None:
        p = config.get("hidden_dropout_prob", 0.1)
        self.attention = Attention(config)
        self.intermediate = Intermediate(config)
        self.output = Added(config, config.size("F", "intermediate_size"), p)
        self.LayerNorm = LayerNorm(config.size("D", "hidden_size"))

    def forward(
        self, hidden: Tensor, mask: Tensor | None, positions: Positions | None, regime: Regime
    ) -> Tensor:
        """(B, T, D) to (B, T, D)."""
        attended = self.attention(hidden, mask, positions, regime)
        normed = self.LayerNorm(attended)
        return self.output(self.intermediate(normed), attended)  # type: ignore[no-any-return]


class Encoder(Module):
    """The layers and the last norm."""

    def __init__(self, config: Config) -> None:
        self.layer = Stack(config.size("L", "num_hidden_layers"), lambda _: Layer(config))
        self.emb_layer_norm_after = LayerNorm(config.size("D", "hidden_size"))


class ContactHead(Module):
    """A linear layer on attention maps, which runs only when it is asked for contacts."""

    def __init__(self, maps: int) -> None:
        self.regression = Linear(maps, 1)


class RotaryPositions(Rotary):
    """Rotary embeddings with one buffer."""

    def __init__(self, size: int) -> None:
        super().__init__(size)
        del self.original_inv_freq


class Body(Module):
    """Embeddings and encoder."""

    def __init__(self, config: Config) -> None:
        heads, layers = config.get("num_attention_heads"), config.get("num_hidden_layers")
        self.embeddings = Embeddings(config)
        self.encoder = Encoder(config)
        self.contact_head = ContactHead(heads * layers)
        rotates = config.get("position_embedding_type") == "rotary"
        self.rotary_embeddings = RotaryPositions(config.get("hidden_size") // heads) if rotates else None

    def forward(self, ids: Tensor, regime: Regime) -> Tensor:
        """(B, T) token ids to (B, T, D)."""
        hidden = self.embeddings(ids)
        mask = bidirectional_mask(hidden, regime)
        positions = None if self.rotary_embeddings is None else self.rotary_embeddings(hidden)
        hidden = self.encoder.layer(hidden, mask, positions, regime)
        return self.encoder.emb_layer_norm_after(hidden)  # type: ignore[no-any-return]


class LMHead(Module):
    """The masked language modelling head; its output layer is tied to the token embedding, its bias added."""

    def __init__(self, config: Config, tied: Parameter) -> None:
        width, words = config.size("D", "hidden_size"), config.size("V", "vocab_size")
        self.dense = Linear(width, width)
        self.layer_norm = LayerNorm(width)
        self.decoder = Linear(width, words, bias=False)
        if config.get("tie_word_embeddings", default=True):
            self.decoder.weight = tied
        self.bias = Parameter(words)

    def forward(self, hidden: Tensor) -> Tensor:
        """(B, T, D) to (B, T, V)."""
        hidden = self.dense(hidden)
        hidden = written_gelu(hidden)
        hidden = self.layer_norm(hidden)
        return self.decoder(hidden) + parameter_tensor(self.bias)  # type: ignore[no-any-return]


def build(config: Config, task: str) -> Model:
    """Build the model of a config for a task."""
    config = config.completed(_DEFAULTS)
    body = Body(config)
    model = build_roberta(config, task, "esm", body, config.get("hidden_dropout_prob", 0.1))
    if task == "masked-lm":
        vars(model)["lm_head"] = LMHead(config, body.embeddings.word_embeddings.weight)
    return model
