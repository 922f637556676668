"""Gemma 1 to 3 and VaultGemma: wide heads, scaled embeddings, norms around each block, sliding layers, capped logits.

transformers 5.23, models/gemma, gemma2, gemma3 (text), vaultgemma.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from vramlint.memory.families import decoder
from vramlint.memory.families.decoder import FULL, SLIDING, Context, Head, build_decoder, head_size
from vramlint.memory.families.layers import KeyValueCache, Rotary, cap
from vramlint.memory.modules import Buffer, Embedding, Module, Parameter, parameter_tensor
from vramlint.memory.operators.normalization import rms_norm_fp32

if TYPE_CHECKING:
    from collections.abc import Mapping

    from vramlint.memory.families.base import Config, Model, Regime
    from vramlint.memory.tape import Tensor

MODEL_TYPES = ("gemma", "gemma2", "gemma3_text", "vaultgemma")

_CAPPED = frozenset({"gemma2", "vaultgemma"})


class Norm(Module):
    """RMS norm that applies `1 + weight` in fp32 before it casts back."""

    label = "norm"

    def __init__(self, width: int) -> None:
        self.weight = Parameter(width)

    def forward(self, x: Tensor) -> Tensor:
        """Normalize the last dimension."""
        return rms_norm_fp32(x, parameter_tensor(self.weight), offset=True)


class ScaledEmbedding(Embedding):
    """An embedding times the square root of its width."""

    def __init__(self, rows: int, width: int) -> None:
        super().__init__(rows, width)
        self.embed_scale = Buffer()

    def forward(self, indices: Tensor) -> Tensor:
        """(…) to (…, width)."""
        return super().forward(indices) * 1.0


class Attention(decoder.Attention):
    """Attention; Gemma 3 normalizes queries and keys, Gemma 2 caps the scores."""

    def __init__(self, config: Config, kind: str = FULL) -> None:
        super().__init__(config, kind)
        self.capped = config.get("model_type") in _CAPPED
        if config.get("model_type") == "gemma3_text":
            self.q_norm = Norm(self.head)
            self.k_norm = Norm(self.head)

    def project(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return query, key and value of shape (B, heads, T, H)."""
        query, key, value = super().project(x)
        if "q_norm" in vars(self):
            query, key = self.q_norm(query), self.k_norm(key)
        return query, key, value


class DecoderLayer(decoder.DecoderLayer):
    """Gemma's layer: Llama's with other norms."""

    attention = Attention
    norm = Norm


class RenamedLayer(decoder.DecoderLayer):
    """VaultGemma's layer: Gemma's, with the name that Gemma 2 has for the second norm."""

    attention = Attention
    norm = Norm

    def __init__(self, config: Config, kind: str = FULL) -> None:
        super().__init__(config, kind)
        self.pre_feedforward_layernorm = self.post_attention_layernorm
        del self.post_attention_layernorm

    def forward(self, hidden: Tensor, context: Context) -> Tensor:
        """(B, T, D) to (B, T, D)."""
        residual = hidden
        hidden = self.input_layernorm(hidden)
        hidden = self.self_attn(hidden, context)
        hidden = residual + hidden
        residual = hidden
        hidden = self.pre_feedforward_layernorm(hidden)
        hidden = self.mlp(hidden)
        return residual + hidden


class SandwichLayer(DecoderLayer):
    """Gemma 2's and 3's layer: a norm before and behind each block."""

    def __init__(self, config: Config, kind: str = FULL) -> None:
        super().__init__(config, kind)
        width = config.size("D", "hidden_size")
        self.pre_feedforward_layernorm = self.norm(width)
        self.post_feedforward_layernorm = self.norm(width)

    def forward(self, hidden: Tensor, context: Context) -> Tensor:
        """(B, T, D) to (B, T, D)."""
        residual = hidden
        hidden = self.input_layernorm(hidden)
        hidden = self.self_attn(hidden, context)
        hidden = self.post_attention_layernorm(hidden)
        hidden = residual + hidden
        residual = hidden
        hidden = self.pre_feedforward_layernorm(hidden)
        hidden = self.mlp(hidden)
        hidden = self.post_feedforward_layernorm(hidden)
        return residual + hidden


_LAYERS: Mapping[str, type[decoder.DecoderLayer]] = {"gemma": DecoderLayer, "vaultgemma": RenamedLayer}


class Decoder(decoder.Decoder):
    """Scaled embedding, layers, final norm; Gemma 2 alternates sliding and full layers, Gemma 3 in patterns."""

    embedding_type = ScaledEmbedding
    norm_type = Norm

    def layer(self, config: Config, kind: str) -> Module:
        """Return one layer."""
        return _LAYERS.get(config.get("model_type"), SandwichLayer)(config, kind)

    def kinds(self, config: Config, count: int) -> list[str]:
        """Return the kind of attention of each layer."""
        if config.get("model_type") == "gemma":
            return [FULL] * count
        default = 2 if config.get("model_type") in _CAPPED else 6
        return decoder.patterned_kinds(config, count, config.get("sliding_window_pattern", default))

    def window(self, config: Config) -> int | None:
        """Return how many tokens a sliding layer sees."""
        return config.get("sliding_window", 4096)  # type: ignore[no-any-return]

    def make_rotary(self, config: Config) -> Module:
        """Return the rotary embedding."""
        return (
            RotaryByKind(config) if config.get("model_type") == "gemma3_text" else super().make_rotary(config)
        )

    def positions(self, x: Tensor) -> dict[str, tuple[Tensor, Tensor]]:
        """Return cosines and sines for each kind of attention."""
        if isinstance(self.rotary_emb, RotaryByKind):
            return self.rotary_emb(x)  # type: ignore[no-any-return]
        return super().positions(x)

    def run(self, embeds: Tensor, regime: Regime, cache: KeyValueCache | None) -> Tensor:
        """(B, T, D) embeddings to (B, T, D); SDPA cannot cap scores, so Gemma 2 falls back to eager attention."""
        if self.config.get("model_type") in _CAPPED and regime.attention == "sdpa":
            regime = replace(regime, attention="eager")
        return super().run(embeds, regime, cache)


class RotaryByKind(Module):
    """Gemma 3's rotary embedding: one per kind of attention."""

    label = "rotary embedding"

    def __init__(self, config: Config) -> None:
        self.full = Rotary(head_size(config))
        self.sliding = Rotary(head_size(config))

    def forward(self, x: Tensor) -> dict[str, tuple[Tensor, Tensor]]:
        """Return cosine and sine for each kind."""
        return {FULL: self.full(x), SLIDING: self.sliding(x)}


def build(config: Config, task: str) -> Model:
    """Build the model of a config for a task."""
    default = 30.0 if config.get("model_type") in _CAPPED else None
    capped = config.values.get("final_logit_softcapping", default) is not None
    return build_decoder(config, task, Decoder, Head(tied=True, adjust=cap) if capped else Head(tied=True))
