"""Attention: which kernel CUDA takes, what each saves, and what its backward needs for a moment."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from tests.memory.tapes import REGIMES, Bench

from vramlint.memory.arena import rounded
from vramlint.memory.dtypes import BFLOAT16, BOOL, FLOAT16, FLOAT32, DType
from vramlint.memory.families.base import Regime
from vramlint.memory.families.layers import attend
from vramlint.memory.operators.attention import chosen_kernel, sdpa

if TYPE_CHECKING:
    from vramlint.memory.tape import Tensor

B, N, K, T, H = 2, 4, 2, 40, 16
SHAPE = (B, N, T, H)


def inputs(bench: Bench, groups: int = N, size: int = H) -> tuple[Tensor, Tensor, Tensor]:
    """Return query, key and value of (B, heads, T, size), all wanting gradients."""
    query = bench.wanting("query", B, N, T, size)
    key = bench.wanting("key", B, groups, T, size)
    return query, key, bench.wanting("value", B, groups, T, size)


@pytest.mark.parametrize(
    ("dtype", "size", "masked", "kernel"),
    [
        (BFLOAT16, 64, False, "flash"),
        (FLOAT16, 256, False, "flash"),
        (BFLOAT16, 60, False, "flash"),
        (BFLOAT16, 264, False, "efficient"),
        (BFLOAT16, 64, True, "efficient"),
        (BFLOAT16, 60, True, "math"),
        (FLOAT32, 64, False, "efficient"),
        (FLOAT32, 60, True, "efficient"),
        (FLOAT32, 62, False, "math"),
    ],
)
def test_the_kernel_that_cuda_takes(dtype: DType, size: int, masked: bool, kernel: str) -> None:  # noqa: FBT001
    """sdp_utils.cpp: flash for half without mask up to head size 256, else efficient where it is aligned."""
    bench = Bench(dtype)
    query, key, value = inputs(bench, size=size)
    mask = bench.tensor("mask", B, 1, T, T, dtype=BOOL) if masked else None
    assert kernel == chosen_kernel(query, key, value, mask)


@pytest.mark.parametrize(
    ("regime", "copied"), [("half", ["key", "query", "value"]), ("autocast", ["bfloat16 (2, 4, 40, 16)"] * 3)]
)
def test_flash(regime: str, copied: list[str]) -> None:
    """Saved are query, key, value, the result, its fp32 log-sum-exp and the dropout generator's state.

    derivatives.yaml, _scaled_dot_product_flash_attention: query, key, value, output, logsumexp, rng_state,
    unused. That is 4 × B·N·T·H halves and B·N·T fp32; nothing grows with T².
    """
    bench = Bench.of(regime)
    out = bench.run(sdpa, *inputs(bench), causal=True)
    state = ["int64 ()", "int64 (2,)"]
    assert sorted([*copied, "out", "float32 (2, 4, 40)", *state]) == bench.saved(out)


def test_flash_reads_grouped_heads_as_they_are() -> None:
    """With fewer key heads nothing is expanded in forward; backward makes both gradients for all heads."""
    bench = Bench.of("half")
    out = bench.run(sdpa, *inputs(bench, K), causal=True)
    assert "key" in bench.saved(out)
    results = rounded(2 * B * N * T * H) + 2 * rounded(2 * B * K * T * H)
    softmax_d, dq_accumulated = 4 * B * N * 128, 4 * B * N * 128 * 32
    expanded = 2 * (2 * B * N * T * H)
    assert results + softmax_d + dq_accumulated + expanded == bench.backward(out)


def test_flash_pads_the_head_size() -> None:
    """A head size of 20 is padded to 24: copies of all three are saved, the result is cut."""
    bench = Bench.of("half")
    out = bench.run(sdpa, *inputs(bench, size=20), causal=True)
    assert (B, N, T, 20) == out.shape
    assert 3 == bench.saved(out).count("bfloat16 (2, 4, 40, 24)")
    assert "query" not in bench.saved(out)


def test_efficient() -> None:
    """fp32 goes to the memory-efficient kernel, whose log-sum-exp pads 40 rows to 64.

    Beside query, key, value and the result it saves seed and offset of dropout, even without dropout.
    """
    bench = Bench.of("fp32")
    out = bench.run(sdpa, *inputs(bench), causal=True)
    assert sorted(["query", "key", "value", "out", "float32 (2, 4, 64)", *["int64 ()"] * 2]) == bench.saved(
        out
    )
    gradients, delta = 3 * (4 * B * N * T * H), rounded(4 * B * N * T)
    assert gradients + delta == bench.backward(out)


def test_efficient_expands_grouped_heads() -> None:
    """It knows no groups: key and value are repeated to all query heads, and the copies are saved."""
    bench = Bench.of("fp32")
    saved = bench.saved(bench.run(sdpa, *inputs(bench, K), causal=True))
    copies = ["float32 (2, 2, 2, 40, 16)"] * 2
    assert sorted(["query", "out", "float32 (2, 4, 64)", *copies, *["int64 ()"] * 2]) == saved


def test_a_padding_mask_takes_flash_away() -> None:
    """A boolean mask of (B, 1, T, T) becomes an additive one of the query's type, saved for backward.

    The kernel wants its rows aligned to 16 elements, so T = 40 is padded to 48.
    """
    bench = Bench.of("half")
    mask = bench.tensor("mask", B, 1, T, T, dtype=BOOL)
    saved = bench.saved(bench.run(sdpa, *inputs(bench), mask))
    assert "bfloat16 (2, 1, 40, 48)" in saved
    assert "mask" not in saved


@pytest.mark.parametrize(
    ("regime", "per_score", "scores"),
    [
        ("fp32", 4, ["float32"]),
        ("half", 6, ["bfloat16", "float32"]),
        ("autocast", 6, ["bfloat16", "float32"]),
    ],
)
def test_eager_attention_saves_its_scores(regime: str, per_score: int, scores: list[str]) -> None:
    """Softmax saves its fp32 result, the product with the values its left factor: B·N·T² × 4 or 6 B.

    In fp32 both are one tensor; else the cast to the query's type makes a half copy of the scores.
    """
    bench = Bench.of(regime)
    out = bench.run(lambda: attend(*inputs(bench), None, Regime(attention="eager")))
    squares = [name for name in bench.saved(out) if name.endswith("(2, 4, 40, 40)")]
    assert scores == [name.split()[0] for name in squares]
    assert per_score == sum(4 if name.startswith("float32") else 2 for name in squares)


def test_dropout_in_eager_attention_doubles_the_scores() -> None:
    """F.dropout saves a mask of one byte, and its result takes the scores' place in the product."""
    bench = Bench.of("half")
    out = bench.run(lambda: attend(*inputs(bench), None, Regime(attention="eager"), p=0.1))
    squares = [name.split()[0] for name in bench.saved(out) if name.endswith("(2, 4, 40, 40)")]
    assert ["bfloat16", "bool", "float32"] == squares


@pytest.mark.parametrize("regime", sorted(REGIMES))
def test_attention_without_gradient_saves_nothing(regime: str) -> None:
    """A reference model's pass keeps only the result, whichever kernel runs."""
    bench = Bench.of(regime)
    tensors = inputs(bench)
    with bench.tape.no_grad():
        out = bench.run(sdpa, *tensors, causal=True)
    assert [] == bench.saved(out)
