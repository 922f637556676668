"""ERNIE 4.5 with experts (transformers 5.23, models/ernie4_5_moe)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vramlint.memory.dtypes import FLOAT32
from vramlint.memory.families import decoder, ernie
from vramlint.memory.families.decoder import FULL, Head, build_decoder
from vramlint.memory.families.deepseek import SPARSE
from vramlint.memory.families.experts import Experts, Router
from vramlint.memory.modules import Module, Parameter, parameter_tensor
from vramlint.memory.operators.elementwise import cast
from vramlint.memory.operators.indexing import gather
from vramlint.memory.operators.matmul import linear
from vramlint.memory.operators.routing import top_k
from vramlint.memory.operators.softmax import softmax
from vramlint.memory.tape import Dim, Tensor

if TYPE_CHECKING:
    from vramlint.memory.families.base import Config, Model

MODEL_TYPES = ("ernie4_5_moe",)

_DEFAULTS = {
    "moe_intermediate_size": 1536,
    "moe_k": 6,
    "moe_num_experts": 64,
    "moe_num_shared_experts": 2,
    "moe_layer_start_index": 1,
    "moe_layer_interval": 1,
}


class Statics(Module):
    """A correction of the choice that is not trained by gradients."""

    def __init__(self, experts: int) -> None:
        self.e_score_correction_bias = Parameter(1, experts)
        self.e_score_correction_bias.trainable = False
        self.e_score_correction_bias.keeps_fp32 = True


class CorrectedRouter(Router):
    """A router by softmax in fp32, the choice corrected."""

    def __init__(self, config: Config, experts: int) -> None:
        super().__init__(config, experts)
        self.count = config.get("num_experts_per_tok", config.get("moe_k"))
        self.weight.keeps_fp32 = True
        self.moe_statics = Statics(experts)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """(tokens, D) to scores and indices of shape (tokens, experts per token)."""
        with x.tape.autocast_to(None):
            logits = linear(cast(x, FLOAT32), cast(parameter_tensor(self.weight), FLOAT32))
        probabilities = softmax(logits, FLOAT32)
        with x.tape.no_grad():
            _, indices = top_k(probabilities * 1.0, self.count)
        chosen = gather(probabilities, indices, *indices.shape) * 1.0
        return cast(chosen, x.dtype), indices


class Block(Module):
    """Shared experts, then routed ones."""

    label = "experts"

    def __init__(self, config: Config) -> None:
        experts = config.size("E", "num_experts", "num_local_experts", "moe_num_experts")
        inner = config.size("F", "moe_intermediate_size")
        shared = config.get("moe_num_shared_experts")
        self.gate = CorrectedRouter(config, experts)
        self.experts = Experts(config, experts, inner)
        self.shared_experts = ernie.MLP(config, Dim(inner * shared, "S")) if shared else None

    def forward(self, x: Tensor) -> Tensor:
        """(B, T, D) to (B, T, D)."""
        batch, length, width = x.shape
        x = x.view(batch * length, width)
        shared = None if self.shared_experts is None else self.shared_experts(x)
        scores, indices = self.gate(x)
        out = self.experts(x, scores, indices)
        if shared is not None:
            out = out + shared
        return out.view(batch, length, width)  # type: ignore[no-any-return]


class DecoderLayer(ernie.DecoderLayer):
    """Pre-norm attention, and an MLP or experts."""

    def __init__(self, config: Config, kind: str = FULL) -> None:
        super().__init__(config, FULL)
        if kind == SPARSE:
            self.mlp = Block(config)


class Decoder(decoder.Decoder):
    """Embedding, layers and final norm."""

    layer = DecoderLayer

    def kinds(self, config: Config, count: int) -> list[str]:
        """Return which layers have experts."""
        first, last = config.get("moe_layer_start_index"), config.get("moe_layer_end_index", count - 1)
        last, step = last if last >= 0 else count - 1, config.get("moe_layer_interval")
        return [
            SPARSE if first <= index <= last and (index + 1) % step == 0 else FULL for index in range(count)
        ]


def build(config: Config, task: str) -> Model:
    """Build the model of a config for a task."""
    bias = bool(config.get("use_bias", default=False))
    return build_decoder(config.completed(_DEFAULTS), task, Decoder, Head(tied=True, bias=bias))
