"""A sequence that is longer than the learned positions is told; a rotary model has no such table."""

from __future__ import annotations

import pytest

from vramlint.memory.engine import estimate
from vramlint.plan.document import Plan


def _notes(model: str, task: str, length: int) -> list[str]:
    plan = Plan.model_validate(
        {"model": {"id": model}, "task": task, "micro_batch_size": 1, "sequence_length": length}
    )
    return [note for note in estimate(plan).assumptions if "learned positions" in note]


@pytest.mark.parametrize(
    ("model", "task", "length"),
    [("gpt2", "causal-lm", 1025), ("bert-base-uncased", "sequence-classification", 513)],
)
def test_a_sequence_beyond_the_table_is_told(model: str, task: str, length: int) -> None:
    """The note names both sizes, and a sequence that just fits gets none."""
    (note,) = _notes(model, task, length)
    assert f"{length - 1:,} learned positions and the sequence {length:,} tokens" in note
    assert [] == _notes(model, task, length - 1)


def test_rotary_positions_have_no_end() -> None:
    """A Llama runs past the length it was trained with."""
    assert [] == _notes("TinyLlama/TinyLlama-1.1B-Chat-v1.0", "causal-lm", 4096)
