"""The decoder that most language models vary: its attention, MLP, layer, stack and heads.

A family's file subclasses the part in which it differs; names of parameters are those of transformers 5.23,
where models/llama is the original of all of these.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar

from vramlint.memory.families.base import Batch, Config, Model, Output, Regime, UnsupportedTask
from vramlint.memory.families.heads import LANGUAGE_MODELLING, LastTokenClassifier, language_modelling
from vramlint.memory.families.layers import (
    KeyValueCache,
    ReturnedWeights,
    Rotary,
    attend,
    causal_mask,
    rotate,
    sliding_mask,
    split_heads,
)
from vramlint.memory.modules import Embedding, Linear, Module, RMSNorm, Stack
from vramlint.memory.operators.activations import activation
from vramlint.memory.operators.elementwise import holding, reshape
from vramlint.memory.tape import Dim, Tensor

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

FULL, SLIDING = "full_attention", "sliding_attention"


# transformers' config classes whose heads are not width / heads by default
_HEAD_SIZES = {
    "gpt_oss": 64,
    "cwm": 128,
    "ernie4_5": 128,
    "gemma": 256,
    "gemma2": 256,
    "gemma3_text": 256,
    "glm": 128,
    "glm4": 128,
    "helium": 128,
    "jais2": 128,
    "llama4_text": 128,
    "minimax_m2": 128,
    "ministral3": 128,
    "qwen3": 128,
    "seed_oss": 128,
    "vaultgemma": 256,
}


def head_size(config: Config) -> Dim:
    """Return the width of a head: `head_dim`, else the family's default, else width by heads."""
    own = _HEAD_SIZES.get(config.get("model_type", ""))
    width, heads = config.size("D", "hidden_size"), config.size("N", "num_attention_heads")
    return config.size("H", "head_dim", default=own or width // heads)


def head_views(x: Tensor, heads: int, size: int) -> Tensor:
    """(B, T, heads·H) to (B, T, heads, H)."""
    return x.view(*x.shape[:-1], heads, size)


@dataclass(frozen=True, slots=True)
class Context:
    """What all layers of one forward pass share; masks and rotary positions by the kind of attention.

    Layers take them by keyword, all but the first: reentrant checkpointing then never lets go of them.
    """

    by_keyword: ClassVar[bool] = True

    regime: Regime
    cache: KeyValueCache | None
    masks: Mapping[str, Tensor | None]
    positions: Mapping[str, tuple[Tensor, Tensor]] = field(default_factory=dict)
    weights: ReturnedWeights = field(default_factory=ReturnedWeights)


class Attention(Module):
    """Grouped-query attention with rotary embeddings."""

    label = "attention"
    output = "o_proj"
    capped = False

    def __init__(self, config: Config, kind: str = FULL) -> None:
        self.kind = kind
        self.width = config.size("D", "hidden_size")
        self.heads = config.size("N", "num_attention_heads")
        self.groups = config.size("K", "num_key_value_heads", default=self.heads)
        self.head = head_size(config)
        self.queries = Dim(self.heads * self.head, "N·H")
        self.keys = Dim(self.groups * self.head, "K·H")
        self.make_projections(config)
        self.p = config.get("attention_dropout", 0.0)

    def make_projections(self, config: Config) -> None:
        """Make the linear layers before and behind the attention."""
        qkv_bias, out_bias = self.biases(config)
        self.q_proj = Linear(self.width, self.queries, bias=qkv_bias)
        self.k_proj = Linear(self.width, self.keys, bias=qkv_bias)
        self.v_proj = Linear(self.width, self.keys, bias=qkv_bias)
        setattr(self, self.output, Linear(self.queries, self.width, bias=out_bias))

    def biases(self, config: Config) -> tuple[bool, bool]:
        """Return whether the query, key and value projections, and the output projection, have a bias."""
        bias = bool(config.get("attention_bias", default=False))
        return bias, bias

    def project(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return query, key and value of shape (B, heads, T, H)."""
        query = split_heads(self.q_proj(x), self.heads, self.head)
        key = split_heads(self.k_proj(x), self.groups, self.head)
        value = split_heads(self.v_proj(x), self.groups, self.head)
        return query, key, value

    def place(self, query: Tensor, key: Tensor, context: Context) -> tuple[Tensor, Tensor]:
        """Give query and key their positions."""
        positions = context.positions[self.kind]
        return rotate(query, *positions), rotate(key, *positions)

    def forward(self, x: Tensor, context: Context) -> Tensor:
        """(B, T, D) to (B, T, D)."""
        query, key, value = self.project(x)
        query, key = self.place(query, key, context)
        if context.cache is not None:
            key, value = context.cache.update(key, value)
        mask = context.masks[self.kind]
        out = attend(query, key, value, mask, context.regime, p=self.p, capped=self.capped)
        out = reshape(out, *x.shape[:-1], self.queries)
        return getattr(self, self.output)(out)  # type: ignore[no-any-return]


class GatedMLP(Module):
    """`down(act(gate(x)) * up(x))`."""

    label = "mlp"

    def __init__(self, config: Config, inner: int | None = None) -> None:
        width = config.size("D", "hidden_size")
        inner = inner or config.size("F", "intermediate_size")
        bias = bool(config.get("mlp_bias", default=False))
        self.gate_proj = Linear(width, inner, bias=bias)
        self.up_proj = Linear(width, inner, bias=bias)
        self.down_proj = Linear(inner, width, bias=bias)
        self.act = activation(config.get("hidden_activation") or config.get("hidden_act", "silu"))

    def forward(self, x: Tensor) -> Tensor:
        """(B, T, D) to (B, T, D)."""
        return self.down_proj(self.act(self.gate_proj(x)) * self.up_proj(x))  # type: ignore[no-any-return]


class PlainMLP(Module):
    """`down(act(up(x)))`; `names` are those of its two layers."""

    label = "mlp"
    names = ("fc1", "fc2")

    def __init__(self, width: int, inner: int, act: str, *, bias: bool = True) -> None:
        up, down = self.names
        setattr(self, up, Linear(width, inner, bias=bias))
        setattr(self, down, Linear(inner, width, bias=bias))
        self.act = activation(act)

    def forward(self, x: Tensor) -> Tensor:
        """(B, T, D) to (B, T, D)."""
        up, down = self.names
        x = getattr(self, up)(x)
        x = self.act(x)
        return getattr(self, down)(x)  # type: ignore[no-any-return]


class DecoderLayer(Module):
    """Pre-norm attention and MLP, each with a residual; the class attributes say of which parts."""

    label = "residual stream"
    attention: Any = Attention
    feed_forward: Any = GatedMLP
    norm: Any = RMSNorm

    def __init__(self, config: Config, kind: str = FULL) -> None:
        width = config.size("D", "hidden_size")
        self.self_attn = self.attention(config, kind)
        self.mlp = self.feed_forward(config)
        self.input_layernorm = self.norm(width)
        self.post_attention_layernorm = self.norm(width)

    def forward(self, hidden: Tensor, context: Context) -> Tensor:
        """(B, T, D) to (B, T, D)."""
        residual = hidden
        hidden = self.input_layernorm(hidden)
        hidden = self.self_attn(hidden, context)
        hidden = residual + hidden
        residual = hidden
        hidden = self.post_attention_layernorm(hidden)
        hidden = self.mlp(hidden)
        return residual + hidden


class Decoder(Module):
    """Embedding, layers and final norm; `embedding`, `stack` and `final` are the names of those parts."""

    embedding, stack, final = "embed_tokens", "layers", "norm"
    embedding_type: Any = Embedding
    layer: Any = DecoderLayer
    norm_type: Any = RMSNorm
    rotary_share = 1.0

    def __init__(self, config: Config) -> None:
        self.config = config
        width = config.size("D", "hidden_size")
        kinds = self.kinds(config, config.size("L", "num_hidden_layers"))
        self.slides = {kind.endswith(SLIDING) for kind in kinds}
        setattr(self, self.embedding, self.embedding_type(config.size("V", "vocab_size"), width))
        setattr(self, self.stack, Stack(len(kinds), lambda index: self.layer(config, kinds[index]), kinds))
        setattr(self, self.final, self.norm_type(width))
        self.rotary_emb = self.make_rotary(config)

    def kinds(self, config: Config, count: int) -> list[str]:
        """Return the kind of attention of each layer."""
        return list(config.get("layer_types") or (FULL,) * count)

    def make_rotary(self, config: Config) -> Module:
        """Return the rotary embedding."""
        return Rotary(rotary_size(config, self.rotary_share))

    def window(self, config: Config) -> int | None:
        """Return how many tokens a sliding layer sees."""
        return config.values.get("sliding_window")

    def masks(self, x: Tensor, regime: Regime) -> dict[str, Tensor | None]:
        """Return the mask of each kind of attention."""
        masks: dict[str, Tensor | None] = {}
        if not all(self.slides):
            masks[FULL] = causal_mask(x, regime)
        if any(self.slides):
            masks[SLIDING] = sliding_mask(x, regime, self.window(self.config))
        return masks

    def positions(self, x: Tensor) -> dict[str, tuple[Tensor, Tensor]]:
        """Return cosines and sines for each kind of attention."""
        return dict.fromkeys((FULL, SLIDING), self.rotary_emb(x))

    def embed(self, ids: Tensor) -> Tensor:
        """(B, T) token ids to (B, T, D)."""
        return getattr(self, self.embedding)(ids)  # type: ignore[no-any-return]

    def drop(self, embeds: Tensor) -> Tensor:
        """Drop elements of the embeddings, in families that do."""
        return embeds

    def forward(self, ids: Tensor, regime: Regime, cache: KeyValueCache | None) -> Tensor:
        """(B, T) token ids to (B, T, D)."""
        return self.run(self.embed(ids), regime, cache)

    def run(self, embeds: Tensor, regime: Regime, cache: KeyValueCache | None) -> Tensor:
        """(B, T, D) embeddings to (B, T, D)."""
        masks = self.masks(embeds, regime)
        layers: Stack = getattr(self, self.stack)
        hidden = self.drop(embeds)
        context = Context(regime, None if layers.checkpointed else cache, masks, self.positions(hidden))
        if len(self.slides) > 1:
            hidden = holding(hidden, *(part for pair in context.positions.values() for part in pair))
        hidden = layers(hidden, context)
        return getattr(self, self.final)(hidden)  # type: ignore[no-any-return]


def patterned_kinds(config: Config, count: int, period: int) -> list[str]:
    """Return `layer_types`, or sliding layers of which every `period`-th is full."""
    given = config.get("layer_types")
    return list(given) if given else [SLIDING if (index + 1) % period else FULL for index in range(count)]


def rotary_size(config: Config, share: float = 1.0) -> int:
    """Return how many numbers of a head are rotated; `share` is the family's default part of a head."""
    given = (config.get("rope_parameters") or {}).get("partial_rotary_factor")
    return int(head_size(config) * (given or config.get("partial_rotary_factor", share)))


class CausalLM(Model):
    """A decoder with a language-modelling head; `prefix` is the decoder's name, `adjust` scales the logits."""

    def __init__(self, config: Config, body: Module, prefix: str, head: Head) -> None:
        self.prefix = prefix
        self.adjust = head.adjust
        setattr(self, prefix, body)
        embedding = token_embedding(body)
        self.lm_head = Linear(embedding.weight.shape[1], config.size("V", "vocab_size"), bias=head.bias)
        if config.get("tie_word_embeddings", head.tied):
            self.lm_head.weight = embedding.weight

    def forward(self, batch: Batch, regime: Regime) -> Output:
        """Return the loss of next-token prediction."""
        cache = KeyValueCache() if regime.use_cache else None
        hidden = getattr(self, self.prefix)(batch["input_ids"], regime, cache)
        return language_modelling(hidden, self.lm_head, regime, cache, self.adjust)


def scaled(logits: Tensor) -> Tensor:
    """Return the logits times a number."""
    return logits * 1.0


def _unchanged(logits: Tensor) -> Tensor:
    return logits


@dataclass(frozen=True, slots=True)
class Head:
    """How a family's language-modelling head is made; `tied` is the default where the config is silent."""

    tied: bool = False
    bias: bool = False
    adjust: Callable[[Tensor], Tensor] = _unchanged


def token_embedding(module: Module) -> Embedding:
    """Return the first embedding of a model, which is that of the tokens."""
    for _, child in module.children():
        if isinstance(child, Embedding):
            return child
        if not isinstance(child, Stack):
            return token_embedding(child)
    raise AssertionError("a language model begins with its token embedding")


def build_decoder(
    config: Config, task: str, body: type[Any], head: Head | None = None, *, prefix: str = "model"
) -> Model:
    """Build a decoder with the head for a task; raises UnsupportedTask where there is none."""
    if task in LANGUAGE_MODELLING:
        return CausalLM(config, body(config), prefix, head or Head())
    if task == "sequence-classification":
        decoder = body(config)
        return LastTokenClassifier(config, prefix, decoder, token_embedding(decoder).weight.shape[1])
    raise UnsupportedTask(task)
