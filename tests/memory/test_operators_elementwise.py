"""What elementwise operators, activations and views save, and what their backward allocates."""

from __future__ import annotations

import pytest
from tests.memory.tapes import Bench

from vramlint.memory.arena import rounded
from vramlint.memory.dtypes import BFLOAT16, BOOL, FLOAT32
from vramlint.memory.operators.activations import activation
from vramlint.memory.operators.elementwise import (
    add,
    cast,
    concatenate,
    dropout,
    masked_fill,
    mean_last,
    multiply,
    narrow,
    power,
    split,
    unary_inplace,
)

FULL = (4, 8, 16)
ELEMENTS = 4 * 8 * 16
NAMES = {"fp32": "float32 (4, 8, 16)", "half": "bfloat16 (4, 8, 16)", "autocast": "float32 (4, 8, 16)"}


@pytest.mark.parametrize("regime", sorted(NAMES))
@pytest.mark.parametrize("name", ["silu", "gelu", "gelu_pytorch_tanh"])
def test_activations_that_save_their_input(regime: str, name: str) -> None:
    """silu: `self: silu_backward(grad, self)`, gelu: `self: gelu_backward(grad, self, approximate)`."""
    bench = Bench.of(regime)
    assert ["x"] == bench.saved(bench.run(activation(name), bench.wanting("x", *FULL)))


@pytest.mark.parametrize("name", ["relu", "tanh", "sigmoid"])
def test_activations_that_save_their_result(name: str) -> None:
    """relu: `threshold_backward(grad, result, 0)`, tanh, sigmoid: likewise of the result."""
    bench = Bench.of("half")
    assert ["out"] == bench.saved(bench.run(activation(name), bench.wanting("x", *FULL)))


@pytest.mark.parametrize(("regime", "per_element"), [("fp32", 3 * 4), ("half", 3 * 2), ("autocast", 3 * 4)])
def test_gelu_new_keeps_three_tensors_more(regime: str, per_element: int) -> None:
    """0.5·x·(1 + tanh(√(2/π)·(x + 0.044715·x³))) in eight operators.

    pow saves x; tanh its result; the last product both factors, 0.5·x and 1 + tanh(…): beside x three
    tensors of x's type.
    """
    bench = Bench.of(regime)
    x = bench.wanting("x", *FULL)
    out = bench.run(activation("gelu_new"), x)
    assert sorted([NAMES[regime]] * 3 + ["x"]) == bench.saved(out)
    assert per_element * ELEMENTS == bench.tape.arena.total - x.storage.size - out.storage.size


def test_gelu_new_of_half_under_autocast_computes_in_fp32() -> None:
    """Pow is on autocast's fp32 list, so its input is copied and what follows has promoted types.

    Saved are x's fp32 copy, tanh and 1 + tanh in fp32, and 0.5·x in half: 4 + 4 + 4 + 2 B per element.
    """
    bench = Bench.of("half")
    bench.autocast = BFLOAT16
    saved = bench.saved(bench.run(activation("gelu_new"), bench.wanting("x", *FULL)))
    assert [NAMES["half"], *[NAMES["fp32"]] * 3] == saved


@pytest.mark.parametrize(("regime", "item"), [("fp32", 4), ("half", 2), ("autocast", 4)])
def test_dropout_saves_a_mask_of_bytes(regime: str, item: int) -> None:
    """native_dropout: `input: native_dropout_backward(grad, result1, …)`, a bool of x's shape."""
    bench = Bench.of(regime)
    out = bench.run(dropout, bench.wanting("x", *FULL), 0.1)
    assert item * ELEMENTS == out.storage.key.bytes
    assert ["bool (4, 8, 16)"] == bench.saved(out)


def test_no_dropout_is_nothing() -> None:
    """F.dropout with p = 0 would copy; transformers' layers with p = 0 come out as their input."""
    bench = Bench.of("half")
    x = bench.wanting("x", *FULL)
    assert x is dropout(x, 0.0)


def test_addition_saves_nothing_and_shares_its_gradient() -> None:
    """add: `self: grad`, `other: grad`: one storage goes to both, and nothing is allocated."""
    bench = Bench.of("half")
    out = bench.run(add, bench.wanting("a", *FULL), bench.wanting("b", *FULL))
    assert [] == bench.saved(out)
    assert 0 == bench.backward(out)
    first, second = bench.gradient("a"), bench.gradient("b")
    assert first is not None
    assert second is not None
    assert first.storage is second.storage


def test_a_product_saves_the_factors_that_are_needed() -> None:
    """mul: `self: mul_tensor_backward(grad, other, …)` and the other way round."""
    bench = Bench.of("half")
    out = bench.run(multiply, bench.wanting("a", *FULL), bench.tensor("b", *FULL))
    assert ["b"] == bench.saved(out)
    both = Bench.of("half")
    assert ["a", "b"] == both.saved(both.run(multiply, both.wanting("a", *FULL), both.wanting("b", *FULL)))


def test_a_number_costs_nothing() -> None:
    """A Python number is kept in the node, not in a tensor."""
    bench = Bench.of("half")
    assert [] == bench.saved(bench.run(multiply, bench.wanting("a", *FULL), 0.5))


def test_a_mixed_product_takes_the_wider_type() -> None:
    """Type promotion: bf16 × fp32 is fp32; fp16 × bf16 would be fp32 too."""
    bench = Bench.of("half")
    out = bench.run(multiply, bench.wanting("a", *FULL), bench.wanting("b", 16, dtype=FLOAT32))
    assert FLOAT32 is out.dtype


def test_a_broadcast_gradient_is_reduced() -> None:
    """engine.cpp, validate_outputs: the gradient of a broadcast factor is summed to the factor's shape."""
    bench = Bench.of("fp32")
    out = bench.run(multiply, bench.wanting("a", *FULL), bench.wanting("b", 16))
    assert 2 * rounded(4 * ELEMENTS) + rounded(4 * 16) == bench.backward(out)
    grad = bench.gradient("b")
    assert grad is not None
    assert (16,) == grad.shape


def test_power_needs_two_temporaries() -> None:
    """pow_backward is grad * (n * x.pow(n - 1)): two tensors for a moment beside the result."""
    bench = Bench.of("fp32")
    out = bench.run(power, bench.wanting("x", *FULL))
    assert ["x"] == bench.saved(out)
    assert 3 * rounded(4 * ELEMENTS) == bench.backward(out)


def test_a_cast_is_undone_in_backward() -> None:
    """`x.to(float32)` saves nothing; its gradient is cast back to the type of x."""
    bench = Bench.of("half")
    out = bench.run(cast, bench.wanting("x", *FULL), FLOAT32)
    assert [] == bench.saved(out)
    assert rounded(2 * ELEMENTS) == bench.backward(out)
    assert cast(out, FLOAT32) is out


def test_a_mean_over_rows() -> None:
    """Mean saves nothing, and its gradient is a whole tensor again."""
    bench = Bench.of("fp32")
    out = bench.run(mean_last, bench.wanting("x", *FULL))
    assert [] == bench.saved(out)
    assert (4, 8, 1) == out.shape
    assert rounded(4 * ELEMENTS) == bench.backward(out)


def test_in_place_activation_keeps_no_second_tensor() -> None:
    """relu_ writes into its input, which is then the result that it saves."""
    bench = Bench.of("fp32")
    x = bench.wanting("x", *FULL)
    before = bench.tape.arena.total
    out = bench.run(unary_inplace, x)
    assert before == bench.tape.arena.total
    assert x.storage is out.storage


def test_slices_are_views_whose_backward_fills_a_whole_tensor() -> None:
    """slice_backward makes zeros of the input's shape; split's backward makes one tensor for all parts."""
    bench = Bench.of("half")
    part = bench.run(narrow, bench.wanting("x", *FULL), -1, 4)
    assert [] == bench.saved(part)
    assert rounded(2 * ELEMENTS) == bench.backward(part)
    other = Bench.of("half")
    parts = split(other.wanting("x", *FULL), (4, 12))
    assert [(4, 8, 4), (4, 8, 12)] == [part.shape for part in parts]
    assert rounded(2 * ELEMENTS) == other.backward(parts[1])


def test_concatenation_copies_and_its_gradients_are_views() -> None:
    """Cat makes a tensor of both; narrow of the gradient serves each part."""
    bench = Bench.of("half")
    out = bench.run(concatenate, [bench.wanting("a", *FULL), bench.wanting("b", *FULL)], -1)
    assert (4, 8, 32) == out.shape
    assert [] == bench.saved(out)
    assert 0 == bench.backward(out)


def test_masked_fill_saves_the_mask() -> None:
    """masked_fill: `self: grad.masked_fill(mask, 0)`."""
    bench = Bench.of("half")
    out = bench.run(masked_fill, bench.wanting("x", *FULL), bench.tensor("mask", 8, 16, dtype=BOOL))
    assert ["mask"] == bench.saved(out)
    assert rounded(2 * ELEMENTS) == bench.backward(out)
