"""What matrix products and embeddings save: bytes follow from shapes and types alone."""

from __future__ import annotations

import pytest
from tests.memory.tapes import Bench

from vramlint.memory.arena import rounded
from vramlint.memory.dtypes import INT64
from vramlint.memory.operators.matmul import batched, embedding, linear, linear_transposed

HALF_X, HALF_WEIGHT = "bfloat16 (4, 8, 16)", "bfloat16 (32, 16)"


@pytest.mark.parametrize(
    ("regime", "expected"),
    [("fp32", ["weight", "x"]), ("half", ["weight", "x"]), ("autocast", [HALF_WEIGHT, HALF_X])],
)
def test_linear_saves_both_factors(regime: str, expected: list[str]) -> None:
    """Each factor is saved for the other's gradient; under autocast half copies stand in their place.

    derivatives.yaml, mm: `self: mm_mat1_backward(grad, mat2, …)`, `mat2: mm_mat2_backward(grad, self, …)`. So
    autocast adds 2 B·(4·8·16 + 32·16) = 2,048 B, and a bias adds nothing.
    """
    bench = Bench.of(regime)
    x, weight, bias = bench.wanting("x", 4, 8, 16), bench.weight("weight", 32, 16), bench.weight("bias", 32)
    out = bench.run(linear, x, weight, bias)
    assert (4, 8, 32) == out.shape
    assert expected == bench.saved(out)


@pytest.mark.parametrize(
    ("regime", "kept"), [("fp32", "weight"), ("half", "weight"), ("autocast", HALF_WEIGHT)]
)
def test_a_frozen_weight_keeps_no_input(regime: str, kept: str) -> None:
    """Nobody asks for mat2's gradient, so x is not saved: what makes LoRA lighter under checkpointing."""
    bench = Bench.of(regime)
    x, weight = bench.wanting("x", 4, 8, 16), bench.weight("weight", 32, 16, trainable=False)
    assert [kept] == bench.saved(bench.run(linear, x, weight))


@pytest.mark.parametrize(("regime", "kept"), [("fp32", "x"), ("half", "x"), ("autocast", HALF_X)])
def test_an_input_without_gradient_keeps_no_weight(regime: str, kept: str) -> None:
    """The first layer's input wants no gradient, so its weight is not saved."""
    bench = Bench.of(regime)
    x, weight = bench.tensor("x", 4, 8, 16), bench.weight("weight", 32, 16)
    assert [kept] == bench.saved(bench.run(linear, x, weight))


def test_a_frozen_layer_at_the_start_saves_nothing() -> None:
    """Without any gradient to compute there is no node, and the casts are gone with the block."""
    bench = Bench.of("autocast")
    x, weight = bench.tensor("x", 4, 8, 16), bench.weight("weight", 32, 16, trainable=False)
    out = bench.run(linear, x, weight)
    assert not out.requires_grad
    assert [] == bench.saved(out)


def test_the_transposed_layer_saves_the_same() -> None:
    """Conv1D of transformers is addmm with a weight of shape (in, out)."""
    bench = Bench.of("half")
    x, weight, bias = bench.wanting("x", 4, 8, 16), bench.weight("weight", 16, 32), bench.weight("bias", 32)
    out = bench.run(linear_transposed, x, weight, bias)
    assert (4, 8, 32) == out.shape
    assert ["weight", "x"] == bench.saved(out)


def test_a_view_in_another_order_is_copied_first() -> None:
    """A product wants its left factor contiguous: after a transpose the copy is what is saved."""
    bench = Bench.of("half")
    x, weight = bench.wanting("x", 4, 8, 16), bench.weight("weight", 32, 8)
    out = bench.run(linear, x.transposed(1, 2), weight)
    assert ["bfloat16 (4, 16, 8)", "weight"] == bench.saved(out)


def test_gradients_of_a_linear_layer() -> None:
    """Backward makes one tensor per factor, and the bias's, reduced from a view."""
    bench = Bench.of("half")
    x, weight, bias = bench.wanting("x", 4, 8, 16), bench.weight("weight", 32, 16), bench.weight("bias", 32)
    bench.backward(bench.run(linear, x, weight, bias))
    shapes = {name: grad.shape for name in bench.given if (grad := bench.gradient(name)) is not None}
    assert {"x": (4, 8, 16), "weight": (32, 16), "bias": (32,)} == shapes


@pytest.mark.parametrize(
    ("regime", "expected"),
    [
        ("fp32", ["a", "b"]),
        ("half", ["a", "b"]),
        ("autocast", ["bfloat16 (2, 4, 16, 8)", "bfloat16 (2, 4, 8, 16)"]),
    ],
)
def test_a_batched_product_saves_both(regime: str, expected: list[str]) -> None:
    """bmm: `self: grad.bmm(mat2.transpose(1, 2))`, `mat2: self.transpose(1, 2).bmm(grad)`."""
    bench = Bench.of(regime)
    a, b = bench.wanting("a", 2, 4, 8, 16), bench.wanting("b", 2, 4, 16, 8)
    out = bench.run(batched, a, b)
    assert (2, 4, 8, 8) == out.shape
    assert expected == bench.saved(out)


@pytest.mark.parametrize(
    ("regime", "dtype"), [("fp32", "float32"), ("half", "bfloat16"), ("autocast", "float32")]
)
def test_an_embedding_saves_its_indices(regime: str, dtype: str) -> None:
    """embedding: `weight: embedding_backward(grad, indices, …)`; autocast does not touch it."""
    bench = Bench.of(regime)
    indices, weight = bench.tensor("indices", 4, 8, dtype=INT64), bench.weight("weight", 100, 16)
    out = bench.run(embedding, indices, weight)
    assert (dtype, (4, 8, 16)) == (out.dtype.name, out.shape)
    assert ["indices"] == bench.saved(out)


def test_the_gradient_of_an_embedding_is_dense() -> None:
    """Few tokens give a gradient for the whole table."""
    bench = Bench.of("half")
    indices, weight = bench.tensor("indices", 1, 1, dtype=INT64), bench.weight("weight", 100, 16)
    out = bench.run(embedding, indices, weight)
    assert rounded(100 * 16 * 2) == bench.backward(out)
    grad = bench.gradient("weight")
    assert grad is not None
    assert (100, 16) == grad.shape
