"""Hunyuan with experts beside an MLP that all tokens pass (transformers 5.23, models/hunyuan_v1_moe)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vramlint.memory.dtypes import FLOAT32
from vramlint.memory.families import hunyuan
from vramlint.memory.families.decoder import FULL, GatedMLP, build_decoder
from vramlint.memory.families.experts import Experts
from vramlint.memory.modules import Linear, Module
from vramlint.memory.operators.elementwise import cast
from vramlint.memory.operators.routing import top_k
from vramlint.memory.operators.softmax import softmax

if TYPE_CHECKING:
    from vramlint.memory.families.base import Config, Model
    from vramlint.memory.tape import Tensor

MODEL_TYPES = ("hunyuan_v1_moe",)


class Gate(Module):
    """Softmax over all experts in fp32, then the best of them."""

    label = "router"

    def __init__(self, config: Config, experts: int) -> None:
        count = config.get("moe_topk", 1)
        self.count = count if isinstance(count, int) else count[0]
        self.wg = Linear(config.size("D", "hidden_size"), experts, bias=False)
        self.wg.weight.keeps_fp32 = True

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """(tokens, D) to scores and indices of shape (tokens, experts per token)."""
        logits = self.wg(cast(x, self.wg.weight.dtype))
        scores, indices = top_k(softmax(logits, FLOAT32), self.count)
        return cast(scores * 1.0, logits.dtype), indices


class Block(Module):
    """An MLP that all tokens pass, a router and its experts."""

    label = "experts"

    def __init__(self, config: Config) -> None:
        experts = config.size("E", "num_experts", "num_local_experts", default=1)
        self.gate = Gate(config, experts)
        self.experts = Experts(config, experts, config.size("F", "intermediate_size"))
        self.shared_mlp = GatedMLP(config)

    def forward(self, x: Tensor) -> Tensor:
        """(B, T, D) to (B, T, D)."""
        batch, length, width = x.shape
        shared = self.shared_mlp(x)
        x = x.view(batch * length, width)
        scores, indices = self.gate(x)
        out = self.experts(x, scores, indices).view(batch, length, width)
        return out + shared  # type: ignore[no-any-return]


class DecoderLayer(hunyuan.DecoderLayer):
    """Pre-norm attention and experts."""

    def __init__(self, config: Config, kind: str = FULL) -> None:
        super().__init__(config, kind)
        self.mlp = Block(config)


class Decoder(hunyuan.Decoder):
    """Embedding, layers and final norm."""

    layer = DecoderLayer


def build(config: Config, task: str) -> Model:
    """Build the model of a config for a task."""
    return build_decoder(config, task, Decoder)
