"""Llama and the decoders that share its layer: Mistral, Qwen2 (transformers 5.23, models/llama, mistral, qwen2)."""

from __future__ import annotations

from collections.abc import Callable

from vramlint.memory.families.base import Batch, Config, Model, Output, Regime
from vramlint.memory.families.heads import require_language_modelling
from vramlint.memory.families.layers import (
    KeyValueCache,
    Rotary,
    attend,
    causal_lm_loss,
    causal_mask,
    rotate,
    split_heads,
)
from vramlint.memory.modules import Embedding, Linear, Module, RMSNorm, Stack
from vramlint.memory.operators.activations import activation
from vramlint.memory.operators.elementwise import reshape
from vramlint.memory.tape import Dim, Tensor

MODEL_TYPES = ("llama", "mistral", "qwen2")


class Attention(Module):
    """Grouped-query attention with rotary embeddings."""

    label = "attention"

    def __init__(self, config: Config) -> None:
        width = config.size("D", "hidden_size")
        self.heads = config.size("N", "num_attention_heads")
        self.groups = config.size("K", "num_key_value_heads", default=self.heads)
        self.head = config.size("H", "head_dim", default=width // self.heads)
        qkv_bias, out_bias = _biases(config)
        queries = Dim(self.heads * self.head, "N·H")
        keys = Dim(self.groups * self.head, "K·H")
        self.q_proj = Linear(width, queries, bias=qkv_bias)
        self.k_proj = Linear(width, keys, bias=qkv_bias)
        self.v_proj = Linear(width, keys, bias=qkv_bias)
        self.o_proj = Linear(queries, width, bias=out_bias)
        self.p = config.get("attention_dropout", 0.0)

    def forward(  # noqa: PLR0913
        self,
        x: Tensor,
        positions: tuple[Tensor, Tensor],
        mask: Tensor | None,
        cache: KeyValueCache | None,
        regime: Regime,
    ) -> Tensor:
        """(B, T, D) to (B, T, D)."""
        query = split_heads(self.q_proj(x), self.heads, self.head)
        key = split_heads(self.k_proj(x), self.groups, self.head)
        value = split_heads(self.v_proj(x), self.groups, self.head)
        query, key = rotate(query, *positions), rotate(key, *positions)
        if cache is not None:
            key, value = cache.update(key, value)
        out = attend(query, key, value, mask, regime, p=self.p)
        out = reshape(out, *x.shape[:-1], self.q_proj.weight.shape[0])
        return self.o_proj(out)  # type: ignore[no-any-return]


def _biases(config: Config) -> tuple[bool, bool]:
    """Return whether the query, key and value projections, and the output projection, have a bias."""
    if config.get("model_type") == "qwen2":
        return True, False
    bias = bool(config.get("attention_bias", default=False))
    return bias, bias


class GatedMLP(Module):
    """`down(act(gate(x)) * up(x))`."""

    label = "mlp"

    def __init__(self, config: Config) -> None:
        width, inner = config.size("D", "hidden_size"), config.size("F", "intermediate_size")
        bias = bool(config.get("mlp_bias", default=False))
        self.gate_proj = Linear(width, inner, bias=bias)
        self.up_proj = Linear(width, inner, bias=bias)
        self.down_proj = Linear(inner, width, bias=bias)
        self.act = activation(config.get("hidden_act", "silu"))

    def forward(self, x: Tensor) -> Tensor:
        """(B, T, D) to (B, T, D)."""
        return self.down_proj(self.act(self.gate_proj(x)) * self.up_proj(x))  # type: ignore[no-any-return]


class DecoderLayer(Module):
    """Pre-norm attention and MLP, each with a residual."""

    label = "residual stream"

    def __init__(self, config: Config) -> None:
        width = config.size("D", "hidden_size")
        self.self_attn = Attention(config)
        self.mlp = GatedMLP(config)
        self.input_layernorm = RMSNorm(width)
        self.post_attention_layernorm = RMSNorm(width)

    def forward(  # noqa: PLR0913
        self,
        hidden: Tensor,
        positions: tuple[Tensor, Tensor],
        mask: Tensor | None,
        cache: KeyValueCache | None,
        regime: Regime,
    ) -> Tensor:
        """(B, T, D) to (B, T, D)."""
        residual = hidden
        hidden = self.input_layernorm(hidden)
        hidden = self.self_attn(hidden, positions, mask, cache, regime)
        hidden = residual + hidden
        residual = hidden
        hidden = self.post_attention_layernorm(hidden)
        hidden = self.mlp(hidden)
        return residual + hidden


class Decoder(Module):
    """Embedding, layers and final norm."""

    def __init__(self, config: Config, layer: Callable[[Config], Module], rotary_share: float) -> None:
        width = config.size("D", "hidden_size")
        head = config.get("head_dim", width // config.size("N", "num_attention_heads"))
        self.embed_tokens = Embedding(config.size("V", "vocab_size"), width)
        self.layers = Stack(config.size("L", "num_hidden_layers"), lambda _: layer(config))
        self.norm = RMSNorm(width)
        self.rotary_emb = Rotary(int(head * rotary_share))

    def forward(self, ids: Tensor, regime: Regime, cache: KeyValueCache | None) -> Tensor:
        """(B, T) token ids to (B, T, D)."""
        embeds = self.embed_tokens(ids)
        mask = causal_mask(embeds, regime)
        hidden = embeds
        positions = self.rotary_emb(hidden)
        hidden = self.layers(hidden, positions, mask, None if self.layers.checkpointed else cache, regime)
        return self.norm(hidden)  # type: ignore[no-any-return]


class CausalLM(Model):
    """A decoder with a language-modelling head."""

    def __init__(
        self, config: Config, layer: Callable[[Config], Module] = DecoderLayer, *, rotary_share: float = 1.0
    ) -> None:
        width, vocabulary = config.size("D", "hidden_size"), config.size("V", "vocab_size")
        self.model = Decoder(config, layer, rotary_share)
        self.lm_head = Linear(width, vocabulary, bias=False)
        if config.get("tie_word_embeddings", default=False):
            self.lm_head.weight = self.model.embed_tokens.weight

    def forward(self, batch: Batch, regime: Regime) -> Output:
        """Return the loss of next-token prediction."""
        cache = KeyValueCache() if regime.use_cache else None
        hidden = self.model(batch["input_ids"], regime, cache)
        hidden.tape.arena.label = "logits"
        logits = self.lm_head(hidden)
        loss = causal_lm_loss(logits)
        return Output(loss, logits, cache.tensors if cache else [])


def build(config: Config, task: str) -> Model:
    """Build the model of a config for a task."""
    require_language_modelling(task)
    return CausalLM(config)
