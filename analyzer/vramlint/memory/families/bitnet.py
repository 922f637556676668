"""BitNet with its master weights: Llama with a norm inside of each block (transformers 5.23, models/bitnet)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vramlint.memory.families import decoder
from vramlint.memory.families.base import Config
from vramlint.memory.families.decoder import Context, GatedMLP, build_decoder
from vramlint.memory.families.layers import attend
from vramlint.memory.modules import RMSNorm
from vramlint.memory.operators.elementwise import reshape

if TYPE_CHECKING:
    from vramlint.memory.families.base import Model
    from vramlint.memory.tape import Tensor

MODEL_TYPES = ("bitnet",)


class Attention(decoder.Attention):
    """Attention with a norm before its last layer."""

    def make_projections(self, config: Config) -> None:
        """Make the linear layers before and behind the attention, and the norm."""
        super().make_projections(config)
        self.attn_sub_norm = RMSNorm(self.queries)

    def forward(self, x: Tensor, context: Context) -> Tensor:
        """(B, T, D) to (B, T, D)."""
        query, key, value = self.project(x)
        query, key = self.place(query, key, context)
        if context.cache is not None:
            key, value = context.cache.update(key, value)
        out = attend(query, key, value, context.masks[self.kind], context.regime, p=self.p)
        out = reshape(out, *x.shape[:-1], self.queries)
        out = self.attn_sub_norm(out)
        return getattr(self, self.output)(out)  # type: ignore[no-any-return]


class MLP(GatedMLP):
    """Gated MLP with a norm before its last layer."""

    def __init__(self, config: Config) -> None:
        super().__init__(config)
        self.ffn_sub_norm = RMSNorm(config.size("F", "intermediate_size"))

    def forward(self, x: Tensor) -> Tensor:
        """(B, T, D) to (B, T, D)."""
        return self.down_proj(self.ffn_sub_norm(self.act(self.gate_proj(x)) * self.up_proj(x)))  # type: ignore[no-any-return]


class DecoderLayer(decoder.DecoderLayer):
    """Pre-norm attention and MLP."""

    attention = Attention
    feed_forward = MLP


class Decoder(decoder.Decoder):
    """Embedding, layers and final norm."""

    layer = DecoderLayer


def build(config: Config, task: str) -> Model:
    """Build the model of a config for a task."""
    return build_decoder(Config({"hidden_act": "relu2", **config.values}), task, Decoder)
