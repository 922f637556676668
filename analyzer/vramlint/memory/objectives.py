"""What preference, reward and reinforcement-learning trainers ask of a model: its head, its rows, and their loss.

Source: TRL 0.15 to 1.15, `trainer/{dpo,kto,grpo,rloo,reward}_trainer.py` and `{orpo,cpo}_trainer.py`. A loss here is
what follows the logits; sums over single tokens are left out where they are a vocabulary's size below the logits.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from vramlint.memory.dtypes import FLOAT32, INT64
from vramlint.memory.operators.elementwise import add, cast, contiguous, narrow, total, unary_saving_result
from vramlint.memory.operators.log_probabilities import (
    scaled_in_place,
    shifted,
    token_log_probabilities,
    watch_entropy,
)
from vramlint.memory.operators.softmax import cross_entropy

if TYPE_CHECKING:
    from collections.abc import Callable

    from vramlint.memory.tape import Tensor


@dataclass(frozen=True, slots=True)
class Objective:
    """A trainer's use of a model.

    `head`: the task whose head the model has. `loss`: from the logits. `watch`: what its metrics take of the logits for
    a while, once references have answered. `rows`: rows of the model's batch for each of the micro batch. `labels`: of
    the head, where the trainer sets them. `keeps`: only completions' logits are made. `asks_after`: references answer
    while the trained model's graph is alive, not before.
    """

    head: str
    loss: Callable[[Tensor], Tensor]
    watch: Callable[[Tensor], None] | None = None
    rows: int = 1
    labels: int | None = None
    keeps: bool = False
    asks_after: bool = False


def preference(logits: Tensor) -> Tensor:
    """DPO and KTO: log-probabilities of each row's tokens."""
    return total(token_log_probabilities(*shifted(logits)))


def odds_ratio(logits: Tensor) -> Tensor:
    """ORPO and CPO: the log-probabilities, and the cross-entropy of the chosen half."""
    batch, length, _ = logits.shape
    half = narrow(logits, 0, max(batch // 2, 1))
    copied = contiguous(narrow(half, 1, length - 1))
    labels = logits.tape.empty(copied.shape[:2], INT64)
    likelihood = cross_entropy(copied, labels)
    del copied
    short, following = shifted(logits)
    return add(likelihood, total(token_log_probabilities(short, following)))


def policy_gradient(logits: Tensor) -> Tensor:
    """GRPO and RLOO: log-probabilities of the completions' tokens at a temperature."""
    batch, length, _ = logits.shape
    following = logits.tape.empty((batch, length - 1), INT64)
    return total(token_log_probabilities(scaled_in_place(logits), following))


def watch_tokens(logits: Tensor) -> None:
    """The logged entropy of the tokens that have a next one."""
    with logits.tape.no_grad():
        watch_entropy(narrow(logits, 1, logits.shape[1] - 1))


def watch_both_kinds(logits: Tensor) -> None:
    """KTO's metrics: the entropy, then copies of wanted and unwanted rows, and of the tokens of half of them."""
    watch_tokens(logits)
    batch, length, vocabulary = logits.shape
    tape, wanted = logits.tape, (batch + 1) // 2
    copies = [
        tape.empty((rows, length - 1, vocabulary), logits.dtype) for rows in (wanted, batch - wanted, wanted)
    ]
    del copies


def pairwise(logits: Tensor) -> Tensor:
    """Reward models: the log-sigmoid of the difference between the rewards of chosen and rejected."""
    return total(unary_saving_result(logits))


def as_returned(logits: Tensor) -> Tensor:
    """Return logits as accelerate's autocast hands them over, in fp32 (convert_outputs_to_fp32)."""
    return cast(logits, FLOAT32) if logits.tape.autocast is not None else logits


_CAUSAL = "causal-lm"
OBJECTIVES = {
    "dpo": Objective(_CAUSAL, preference, watch_tokens, rows=2, asks_after=True),
    "kto": Objective(_CAUSAL, preference, watch_both_kinds, asks_after=True),
    "bco": Objective(_CAUSAL, preference, watch_tokens, asks_after=True),
    "orpo": Objective(_CAUSAL, odds_ratio, rows=2),
    "cpo": Objective(_CAUSAL, odds_ratio, rows=2),
    "simpo": Objective(_CAUSAL, odds_ratio, rows=2),
    "grpo": Objective(_CAUSAL, policy_gradient, watch_tokens, keeps=True),
    "rloo": Objective(_CAUSAL, policy_gradient, watch_tokens, keeps=True),
    "reward": Objective("sequence-classification", pairwise, rows=2, labels=1),
}


def labels_of(task: str | None) -> int | None:
    """Return how many classes a trainer gives the head, where it decides."""
    return OBJECTIVES[task].labels if task in OBJECTIVES else None


def rows_of(task: str | None) -> int:
    """Return how many rows of a model's batch one of the micro batch becomes."""
    return OBJECTIVES[task].rows if task in OBJECTIVES else 1


def asks_after(task: str | None) -> bool:
    """Return whether references answer while the trained model's graph is alive."""
    return task in OBJECTIVES and OBJECTIVES[task].asks_after


def head_of(task: str) -> str:
    """Return the task whose head a model has under a trainer's task."""
    return OBJECTIVES[task].head if task in OBJECTIVES else task
