"""LFM2 with experts behind its first layers (transformers 5.23, models/lfm2_moe)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vramlint.memory.families import lfm2
from vramlint.memory.families.decoder import Head, build_decoder
from vramlint.memory.families.experts import MixtureBlock, Router
from vramlint.memory.families.lfm2 import MLP
from vramlint.memory.families.qwen_moe import DENSE
from vramlint.memory.modules import Buffer, parameter_tensor
from vramlint.memory.operators.elementwise import unary_saving_result
from vramlint.memory.operators.indexing import gather
from vramlint.memory.operators.matmul import linear
from vramlint.memory.operators.routing import top_k

if TYPE_CHECKING:
    from vramlint.memory.families.base import Config, Model
    from vramlint.memory.tape import Tensor

MODEL_TYPES = ("lfm2_moe",)

_DEFAULTS = {
    "moe_intermediate_size": 1792,
    "num_dense_layers": 2,
    "num_experts_per_tok": 4,
    "num_experts": 32,
    "use_expert_bias": True,
    "norm_topk_prob": True,
    "block_auto_adjust_ff_dim": False,
}


class SigmoidRouter(Router):
    """A router by sigmoids, the choice perhaps corrected by a bias."""

    def __init__(self, config: Config, experts: int) -> None:
        super().__init__(config, experts)
        self.corrected, self.divides = config.get("use_expert_bias"), config.get("norm_topk_prob")

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """(tokens, D) to scores and indices of shape (tokens, experts per token)."""
        scores = unary_saving_result(linear(x, parameter_tensor(self.weight)))
        if self.corrected:
            with x.tape.no_grad():
                _, indices = top_k(scores, self.count)
            chosen = gather(scores, indices, *indices.shape)
        else:
            chosen, indices = top_k(scores, self.count)
        return (chosen * 1.0 if self.divides else chosen) * 1.0, indices


class Block(MixtureBlock):
    """A router and its experts."""

    def __init__(self, config: Config) -> None:
        experts, inner = config.size("E", "num_experts"), config.size("F", "moe_intermediate_size")
        super().__init__(config, experts, inner, SigmoidRouter)
        if config.get("use_expert_bias"):
            self.expert_bias = Buffer(experts)


class DecoderLayer(lfm2.DecoderLayer):
    """Pre-norm attention or convolution, and an MLP or experts."""

    def __init__(self, config: Config, kind: str) -> None:
        super().__init__(config, kind.removeprefix(DENSE))
        self.feed_forward = MLP(config) if kind.startswith(DENSE) else Block(config)


class Decoder(lfm2.Decoder):
    """Embedding, layers and a norm."""

    layer = DecoderLayer

    def kinds(self, config: Config, count: int) -> list[str]:
        """Return which layers attend, marked where they have one MLP."""
        dense = config.get("num_dense_layers")
        return [
            DENSE + kind if index < dense else kind for index, kind in enumerate(super().kinds(config, count))
        ]


def build(config: Config, task: str) -> Model:
    """Build the model of a config for a task."""
    return build_decoder(config.completed(_DEFAULTS), task, Decoder, Head(tied=True))
