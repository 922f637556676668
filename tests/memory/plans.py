"""Small plans that the tests of the engine vary."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from vramlint.memory.engine import estimate
from vramlint.plan.document import Plan

if TYPE_CHECKING:
    from vramlint.memory.estimate import Estimate

# Every size is another number, so that no letter of a formula can stand for two of them.
LLAMA = {
    "model_type": "llama", "hidden_size": 96, "intermediate_size": 200, "num_hidden_layers": 5,
    "num_attention_heads": 6, "num_key_value_heads": 2, "head_dim": 24, "vocab_size": 1000,
}  # fmt: skip
GPT2 = {
    "model_type": "gpt2", "n_embd": 96, "n_inner": 200, "n_layer": 5, "n_head": 6, "n_positions": 256,
    "vocab_size": 1000,
}  # fmt: skip


def plan(config: dict[str, Any] | str = LLAMA, /, **changes: Any) -> Plan:
    """Return a plan of a small fp32 training, with some keys changed."""
    model = {"id": config} if isinstance(config, str) else {"config": config}
    keys: dict[str, Any] = {
        "model": model,
        "task": "causal-lm",
        "param_dtype": "float32",
        "micro_batch_size": 3,
        "sequence_length": 40,
        "optimizer": {"name": "torch.optim.AdamW"},
    }
    return Plan.model_validate(keys | changes)


def run(config: dict[str, Any] | str = LLAMA, /, **changes: Any) -> Estimate:
    """Return the memory of such a plan."""
    return estimate(plan(config, **changes))


def term_bytes(answer: Estimate, name: str) -> int:
    """Return the bytes of the term of that name; 0 where there is none."""
    return sum(term.bytes for term in answer.ledger.terms if term.name == name)


def group_bytes(answer: Estimate, group: str) -> int:
    """Return the bytes of all terms of a group that are alive at the peak."""
    return sum(term.bytes for term in answer.ledger.terms if term.group == group and term.at_peak)
