"""Mixtures of experts: routers, the experts' grouped MLP, and the blocks that hold them.

transformers 5.23 runs experts as grouped products (integrations/moe.py); no assumption about the routing is
needed, since every token goes to the same number of experts.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from vramlint.memory.dtypes import BOOL, FLOAT32
from vramlint.memory.families.decoder import GatedMLP
from vramlint.memory.modules import Buffer, Linear, Module, Parameter, parameter_tensor
from vramlint.memory.operators.activations import activation
from vramlint.memory.operators.elementwise import cast, masked_fill, multiply, split, unary_saving_result
from vramlint.memory.operators.indexing import take_rows
from vramlint.memory.operators.matmul import linear
from vramlint.memory.operators.routing import grouped_linear, sort_by_expert, sum_experts, top_k
from vramlint.memory.operators.softmax import softmax
from vramlint.memory.tape import Dim, Tensor

if TYPE_CHECKING:
    from vramlint.memory.families.base import Config


class Router(Module):
    """Softmax over all experts in fp32, then the best of them; `keeps_fp32` says whether the scores stay so."""

    label = "router"
    keeps_fp32 = False

    def __init__(self, config: Config, experts: int) -> None:
        self.count = config.get("num_experts_per_tok", 2)
        self.weight = Parameter(experts, config.size("D", "hidden_size"))

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """(tokens, D) to scores and indices of shape (tokens, experts per token)."""
        logits = linear(x, parameter_tensor(self.weight))
        probabilities = softmax(logits, FLOAT32)
        scores, indices = top_k(probabilities, self.count)
        return (scores if self.keeps_fp32 else cast(scores, logits.dtype)), indices


class ScoredRouter(Module):
    """DeepSeek's router in fp32: softmax (V2) or sigmoid with a correction (V3), groups of experts, scaling."""

    label = "router"

    def __init__(self, config: Config, experts: int) -> None:
        self.count = config.get("num_experts_per_tok", 8)
        self.softmax = config.get("model_type") == "deepseek_v2"
        self.grouped = config.get("topk_method") == "group_limited_greedy"
        self.weight = Parameter(experts, config.size("D", "hidden_size"))
        if not self.softmax:
            self.e_score_correction_bias = Buffer(experts)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """(tokens, D) to scores and indices of shape (tokens, experts per token)."""
        logits = linear(cast(x, FLOAT32), cast(parameter_tensor(self.weight), FLOAT32))
        if self.softmax:
            scores = softmax(logits, FLOAT32)
            if self.grouped:
                scores = masked_fill(scores, x.tape.empty(scores.shape, BOOL))
            chosen, indices = top_k(scores, self.count)
            return chosen * 1.0, indices
        scores = unary_saving_result(logits)
        with x.tape.no_grad():
            _, indices = top_k(scores, self.count)
        chosen = take_rows(scores, (indices,), *indices.shape)
        return chosen * 1.0 * 1.0, indices


def stacked_product(x: Tensor, weights: Parameter) -> Tensor:
    """Rows sorted by expert times the experts' stacked weights; what quantizing replaces."""
    return grouped_linear(x, parameter_tensor(weights))


class Experts(Module):
    """The gated MLPs of all experts, their weights stacked."""

    label = "experts"

    def __init__(self, config: Config, experts: int, inner: int) -> None:
        width = config.size("D", "hidden_size")
        self.inner = inner
        self.gate_up_proj = Parameter(experts, Dim(2 * inner, "2F"), width)
        self.down_proj = Parameter(experts, width, inner)
        self.act = activation(config.get("hidden_act", "silu"))
        self.product = stacked_product

    def forward(self, x: Tensor, scores: Tensor, indices: Tensor) -> Tensor:
        """(tokens, D) to (tokens, D)."""
        rows, chosen, permutation = sort_by_expert(x, indices, scores)
        out = self.product(rows, self.gate_up_proj)
        out = self.gated(out)
        out = self.product(out, self.down_proj)
        weighted = multiply(out, chosen.view(chosen.shape[0], 1))
        summed = sum_experts(weighted, indices.shape[-1])
        del permutation  # the function's variable lives to its end
        return cast(summed, x.dtype)

    def gated(self, x: Tensor) -> Tensor:
        """(rows, 2F) to (rows, F)."""
        gate, up = split(x, (self.inner, self.inner))
        return self.act(gate) * up


class MixtureBlock(Module):
    """A router and its experts."""

    label = "experts"

    def __init__(self, config: Config, experts: int, inner: int, router: type[Router] = Router) -> None:
        self.gate = router(config, experts)
        self.experts = Experts(config, experts, inner)

    def forward(self, x: Tensor) -> Tensor:
        """(B, T, D) to (B, T, D)."""
        batch, length, width = x.shape
        x = x.view(batch * length, width)
        scores, indices = self.gate(x)
        return self.experts(x, scores, indices).view(batch, length, width)  # type: ignore[no-any-return]


class GatedShareBlock(MixtureBlock):
    """Experts beside one that all tokens pass, its output weighed by a sigmoid (Qwen 1.5 and 2 MoE)."""

    def __init__(self, config: Config, experts: int, inner: int, shared: Dim) -> None:
        super().__init__(config, experts, inner)
        self.shared_expert = GatedMLP(config, shared)
        self.shared_expert_gate = Linear(config.size("D", "hidden_size"), 1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """(B, T, D) to (B, T, D)."""
        batch, length, width = x.shape
        x = x.view(batch * length, width)
        shared = self.shared_expert(x)
        scores, indices = self.gate(x)
        out = self.experts(x, scores, indices)
        shared = unary_saving_result(self.shared_expert_gate(x)) * shared
        return (out + shared).view(batch, length, width)  # type: ignore[no-any-return]
