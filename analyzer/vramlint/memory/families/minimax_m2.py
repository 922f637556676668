"""MiniMax M2: norms over all query and key heads, partly turned heads, experts (models/minimax_m2)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vramlint.memory.dtypes import FLOAT32
from vramlint.memory.families import decoder, olmoe
from vramlint.memory.families.base import Config
from vramlint.memory.families.decoder import Context, build_decoder, head_size
from vramlint.memory.families.experts import MixtureBlock, Router
from vramlint.memory.families.layers import rotate_part
from vramlint.memory.modules import Buffer, parameter_tensor
from vramlint.memory.operators.elementwise import cast, unary_saving_result
from vramlint.memory.operators.indexing import gather
from vramlint.memory.operators.matmul import linear
from vramlint.memory.operators.routing import top_k

if TYPE_CHECKING:
    from vramlint.memory.families.base import Model
    from vramlint.memory.tape import Tensor

MODEL_TYPES = ("minimax_m2",)


class Attention(olmoe.Attention):
    """Attention that turns the first part of each head."""

    def biases(self, config: Config) -> tuple[bool, bool]:  # noqa: ARG002  as its siblings
        """Return that the projections have no bias."""
        return False, False

    def place(self, query: Tensor, key: Tensor, context: Context) -> tuple[Tensor, Tensor]:
        """Turn the first part of each head."""
        positions = context.positions[self.kind]
        if self.turns_all(positions[0]):
            return super().place(query, key, context)
        return rotate_part(query, *positions), rotate_part(key, *positions)

    def turns_all(self, cosine: Tensor) -> bool:
        """Return whether no part of a head is passed by."""
        return cosine.shape[-1] == self.head


class SigmoidRouter(Router):
    """A router by sigmoids in fp32, the choice corrected by a bias."""

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """(tokens, D) to scores and indices of shape (tokens, experts per token)."""
        scores = unary_saving_result(cast(linear(x, parameter_tensor(self.weight)), FLOAT32))
        with x.tape.no_grad():
            _, indices = top_k(scores, self.count)
        return gather(scores, indices, *indices.shape) * 1.0, indices


class Block(MixtureBlock):
    """A router and its experts."""

    def __init__(self, config: Config) -> None:
        experts = config.size("E", "num_local_experts", default=256)
        super().__init__(config, experts, config.size("F", "intermediate_size"), SigmoidRouter)
        self.e_score_correction_bias = Buffer(experts)


class DecoderLayer(decoder.DecoderLayer):
    """Pre-norm attention and experts."""

    attention = Attention
    feed_forward = Block


class Decoder(decoder.Decoder):
    """Embedding, layers and final norm."""

    layer = DecoderLayer


def build(config: Config, task: str) -> Model:
    """Build the model of a config for a task."""
    share = config.get("rotary_dim", head_size(config)) / head_size(config)
    values = {"partial_rotary_factor": share, "num_experts_per_tok": 8, **config.values}
    return build_decoder(Config(values), task, Decoder)
