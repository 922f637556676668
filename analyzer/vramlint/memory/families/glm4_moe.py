"""GLM 4.5 to 4.7: grouped-query or latent attention with DeepSeek V3's experts (models/glm4_moe, glm4_moe_lite)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vramlint.memory.families import decoder, deepseek
from vramlint.memory.families.decoder import FULL, Context, build_decoder, head_views, rotary_size
from vramlint.memory.families.deepseek import SPARSE
from vramlint.memory.families.layers import Rotary, rotate_part
from vramlint.memory.modules import Module, RMSNorm

if TYPE_CHECKING:
    from vramlint.memory.families.base import Config, Model
    from vramlint.memory.tape import Tensor

MODEL_TYPES = ("glm4_moe", "glm4_moe_lite")


class Attention(decoder.Attention):
    """Attention that turns the first part of each head."""

    def make_projections(self, config: Config) -> None:
        """Make the linear layers before and behind the attention, and the norms of single heads."""
        super().make_projections(config)
        if config.get("use_qk_norm", default=False):
            self.q_norm = RMSNorm(self.head)
            self.k_norm = RMSNorm(self.head)

    def biases(self, config: Config) -> tuple[bool, bool]:
        """Return whether the query, key and value projections, and the output projection, have a bias."""
        return config.get("attention_bias", default=False), False

    def project(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return query, key and value of shape (B, heads, T, H)."""
        query = head_views(self.q_proj(x), self.heads, self.head)
        key = head_views(self.k_proj(x), self.groups, self.head)
        value = head_views(self.v_proj(x), self.groups, self.head)
        if "q_norm" in vars(self):
            query, key = self.q_norm(query), self.k_norm(key)
        return query.transposed(1, 2), key.transposed(1, 2), value.transposed(1, 2)

    def place(self, query: Tensor, key: Tensor, context: Context) -> tuple[Tensor, Tensor]:
        """Turn the first part of each head."""
        positions = context.positions[self.kind]
        return rotate_part(query, *positions), rotate_part(key, *positions)


class DecoderLayer(decoder.DecoderLayer):
    """Pre-norm attention, and an MLP or experts."""

    attention = Attention

    def __init__(self, config: Config, kind: str = FULL) -> None:
        super().__init__(config, FULL)
        if kind == SPARSE:
            self.mlp = deepseek.Block(config)


class Decoder(decoder.Decoder):
    """Embedding, layers and final norm."""

    layer = DecoderLayer

    def kinds(self, config: Config, count: int) -> list[str]:
        """Return which layers have experts."""
        dense = config.get("first_k_dense_replace", 1)
        return [FULL if index < dense else SPARSE for index in range(count)]

    def make_rotary(self, config: Config) -> Module:
        """Return the rotary embedding."""
        return Rotary(rotary_size(config, 0.5))


class LatentDecoder(deepseek.Decoder):
    """The small model's decoder, with DeepSeek V3's attention; its first layer has no experts."""

    def kinds(self, config: Config, count: int) -> list[str]:
        """Return which layers have experts."""
        given = config.get("mlp_layer_types") or ["dense", *("sparse",) * (count - 1)]
        return [SPARSE if kind == "sparse" else FULL for kind in given]


_LITE = {"q_lora_rank": 768, "qk_nope_head_dim": 192, "v_head_dim": 256, "moe_intermediate_size": 1536}


def build(config: Config, task: str) -> Model:
    """Build the model of a config for a task."""
    if config.get("model_type") == "glm4_moe_lite":
        return build_decoder(config.completed(_LITE), task, LatentDecoder)
    return build_decoder(config, task, Decoder)
