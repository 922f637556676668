"""The engine against whole training steps of the real libraries, phase by phase."""

from __future__ import annotations

import pytest

from benchmarks.accuracy.compare import compare
from benchmarks.accuracy.rows import Row, training_steps

FAMILIES = {"llama", "mistral", "qwen2", "phi3", "gpt2"}
LIMIT = 0.005

# In a build of torch without CUDA, silu_backward on fake CUDA tensors falls apart into its formula, with four
# temporaries of the MLP's width that the CUDA kernel does not make. In these rows they are the peak of backward.
DECOMPOSED_SILU = {
    "llama2-7b-bf16-ckpt-b4-s4096": {"backward.peak"},
    "mistral-7b-bf16-ckpt-b1-s4096": {"backward.peak"},
    "sw-llama-v1024": {"backward.peak", "allocated"},
    "sw-llama-ckpt-fp32": {"backward.peak"},
}
# This run was forced to torch's math kernel, which a plan cannot say: its plan is that of sw-llama-dt-fp32.
OTHER_KERNEL = "sw-llama-gqa-fp32-math"

ROWS = [row for row in training_steps() if row.family in FAMILIES and row.id != OTHER_KERNEL]


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.id)
def test_a_training_step(row: Row) -> None:
    """Every figure is within half a percent: the peak, and peak and end of each phase."""
    (outcome,) = compare([row])
    assert outcome.why_not is None
    errors = {
        figure: outcome.error(figure) for figure in row.truth if figure not in DECOMPOSED_SILU.get(row.id, ())
    }
    assert {} == {figure: error for figure, error in errors.items() if error is None or abs(error) > LIMIT}


@pytest.mark.parametrize("name", sorted(DECOMPOSED_SILU))
def test_where_the_measured_build_needs_more(name: str) -> None:
    """The figures left out above are 0.5 to 4 % low, for the one reason; none of them is high."""
    (outcome,) = compare([row for row in ROWS if row.id == name])
    for figure in DECOMPOSED_SILU[name]:
        error = outcome.error(figure)
        assert error is not None
        assert -0.04 < error < -LIMIT


def test_most_rows_agree_to_a_few_blocks() -> None:
    """Not only close: nine of ten peaks are what the run counted, but for some scalars of 512 bytes."""
    outcomes = compare(ROWS)
    far = [o.row.id for o in outcomes if abs(o.figures["allocated"] - o.row.truth["allocated"]) > 8192]
    assert len(far) < 0.1 * len(ROWS)
    assert len(ROWS) > 100
