"""StarCoder 2: Llama with LayerNorm, a plain MLP and biases (transformers 5.23, models/starcoder2)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vramlint.memory.families import decoder
from vramlint.memory.families.decoder import FULL, SLIDING, Context, Head, PlainMLP, build_decoder
from vramlint.memory.modules import LayerNorm
from vramlint.memory.operators.elementwise import dropout

if TYPE_CHECKING:
    from vramlint.memory.families.base import Config, Model
    from vramlint.memory.tape import Tensor

MODEL_TYPES = ("starcoder2",)


class Attention(decoder.Attention):
    """Grouped-query attention with dropout behind it."""

    def biases(self, config: Config) -> tuple[bool, bool]:
        """Return whether the projections have a bias."""
        self.residual_p = config.get("residual_dropout", 0.0)
        bias = config.get("use_bias", default=True)
        return bias, bias

    def forward(self, x: Tensor, context: Context) -> Tensor:
        """(B, T, D) to (B, T, D)."""
        return dropout(super().forward(x, context), self.residual_p)


class MLP(PlainMLP):
    """Two linear layers with dropout behind them."""

    names = ("c_fc", "c_proj")

    def __init__(self, config: Config) -> None:
        self.p = config.get("residual_dropout", 0.0)
        super().__init__(
            config.size("D", "hidden_size"),
            config.size("F", "intermediate_size"),
            config.get("hidden_act", "gelu_pytorch_tanh"),
            bias=config.get("use_bias", default=True),
        )

    def forward(self, x: Tensor) -> Tensor:
        """(B, T, D) to (B, T, D)."""
        return dropout(super().forward(x), self.p)


class DecoderLayer(decoder.DecoderLayer):
    """Pre-norm attention and MLP."""

    attention = Attention
    feed_forward = MLP
    norm = LayerNorm


class Decoder(decoder.Decoder):
    """Embedding, layers and final norm; all layers slide where there is a window."""

    layer = DecoderLayer
    norm_type = LayerNorm

    def kinds(self, config: Config, count: int) -> list[str]:
        """Return the kind of attention of each layer."""
        return [SLIDING if self.window(config) else FULL] * count

    def drop(self, embeds: Tensor) -> Tensor:
        """Drop elements of the embeddings."""
        return dropout(embeds, self.config.get("embedding_dropout", 0.0))


def build(config: Config, task: str) -> Model:
    """Build the model of a config for a task."""
    return build_decoder(config, task, Decoder, Head(tied=True))
