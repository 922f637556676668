"""Preference, reward and reinforcement-learning trainers: their steps against TRL's own loss code, and their heads."""

from __future__ import annotations

import pytest
from tests.memory.plans import run

from benchmarks.accuracy.compare import compare
from benchmarks.accuracy.rows import Row, training_steps
from vramlint.memory.objectives import OBJECTIVES

LIMIT = 0.005
ROWS = training_steps("oracle_objectives.jsonl")


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.id)
def test_a_training_step(row: Row) -> None:
    """Every figure is within half a percent: the peak, and peak and end of each phase."""
    (outcome,) = compare([row])
    assert outcome.why_not is None
    errors = {figure: outcome.error(figure) for figure in row.truth}
    assert {} == {figure: error for figure, error in errors.items() if error is None or abs(error) > LIMIT}


@pytest.mark.parametrize("task", sorted(OBJECTIVES))
def test_every_task_gets_a_figure(task: str) -> None:
    """Each of these tasks is walked for a decoder, by TRL's losses and by those of others."""
    for framework in ("trl", "openrlhf"):
        assert run(task=task, framework=framework).allocated.expected > 0


def test_two_answers_double_the_rows() -> None:
    """ORPO's batch is as large as that of KTO with twice its rows, where the loss is the same."""
    pairs = run(task="dpo", framework="openrlhf", micro_batch_size=2)
    single = run(task="kto", framework="openrlhf", micro_batch_size=4)
    assert pairs.allocated.expected == single.allocated.expected


def test_only_the_logits_of_completions_are_made() -> None:
    """GRPO needs less where most of the sequence is the prompt."""
    grpo = {"task": "grpo", "framework": "trl", "sequence_length": 600}
    short = run(**grpo, generation={"new_tokens": 2, "engine": "vllm"})
    whole = run(**grpo, generation={"new_tokens": 500, "engine": "vllm"})
    assert short.allocated.expected < whole.allocated.expected


def test_sampling_holds_a_cache_of_all_completions() -> None:
    """A rollout of many rows peaks by its key-value cache, with checkpointing or without, and needs no gradient."""
    grpo = {"task": "grpo", "framework": "trl", "sequence_length": 60, "micro_batch_size": 1}
    many = {"prompt_length": 20, "new_tokens": 40, "batch": 4000}
    answer = run(**grpo, generation=many)
    assert answer.phase == "rollout"
    cache = next(term for term in answer.ledger.terms if term.name == "key-value cache")
    # keys and values of five layers: two heads of 24 numbers for each of the 60 tokens, in fp32
    assert cache.bytes >= 2 * 5 * 4000 * 2 * 60 * 24 * 4
    assert run(**grpo, generation=many, gradient_checkpointing={}).phase == "rollout"


def test_vllm_beside_the_training_is_said() -> None:
    """What vLLM takes is a share of a GPU that nobody named: it is no part of the figure, and the figure says so."""
    answer = run(task="grpo", framework="trl", generation={"engine": "vllm", "gpu_memory_utilization": 0.3})
    assert any("vLLM takes up to 30 %" in note for note in answer.assumptions)
