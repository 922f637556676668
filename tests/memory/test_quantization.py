"""Quantized weights: bytes per weight after loading, what stays as it is, and what trains."""

from __future__ import annotations

from math import prod
from typing import Any

import pytest
from tests.memory.plans import LLAMA, run, term_bytes

from vramlint.memory.engine import CannotEstimate
from vramlint.memory.quantization.formats import FORMATS, Stored, bnb_4bit

LORA = {"r": 4}
BIG = {
    "model_type": "llama", "hidden_size": 4096, "intermediate_size": 11008, "num_hidden_layers": 2,
    "num_attention_heads": 32, "vocab_size": 1000,
}  # fmt: skip
LINEAR = 4 * 4096 * 4096 + 3 * 4096 * 11008  # weights of the linear layers of one layer
LAYERS = 2


def stored_bytes(tensors: tuple[Stored, ...]) -> int:
    """Return the bytes of all tensors of a quantized weight."""
    return sum(prod(tensor.shape) * tensor.bits // 8 for tensor in tensors)


@pytest.mark.parametrize(
    ("kind", "exact"),
    [
        ("int8", 4096 * 4096 + 4 * 4096),
        ("gptq", 4096 * 4096 // 2 + 32 * (4096 // 2) + 2 * 32 * 4096 + 4 * 4096),
        ("awq", 4096 * 4096 // 2 + 32 * (4096 // 2) + 2 * 32 * 4096),
        ("fp8", 4096 * 4096 + 4 * 32 * 32),
        ("int8_weight_only", 4096 * 4096 + 2 * 4096),
        ("int4_weight_only", 4096 * 4096 // 2 + 2 * 2 * 32 * 4096),
    ],
)
def test_a_square_weight(kind: str, exact: int) -> None:
    """Packed numbers, and scales: by row (int8), by group of 128 (gptq, awq, int4), by 128 × 128 block (fp8)."""
    assert exact == stored_bytes(FORMATS[kind](4096, 4096))


@pytest.mark.parametrize(
    ("double", "exact"),
    [
        (False, 4096 * 4096 // 2 + 4 * 4096 * 4096 // 64 + 64),
        (True, 4096 * 4096 // 2 + 4096 * 4096 // 64 + 4 * 4096 * 4096 // 64 // 256 + 4 * 256 + 4 + 64),
    ],
    ids=["single", "double"],
)
def test_nf4(double: bool, exact: int) -> None:  # noqa: FBT001  a table's column
    """Two weights a byte, a scale for each 64, in fp32 or, quantized again, in 8 bits; and a table of 16 values."""
    assert exact == stored_bytes(bnb_4bit(4096, 4096, double=double))


@pytest.mark.parametrize(
    ("quantization", "per_weight"),
    [
        ({"kind": "nf4"}, 0.5625),
        ({"kind": "fp4"}, 0.5625),
        ({"kind": "nf4", "double": True}, 0.516),
        ({"kind": "int8"}, 1.0008),
        ({"kind": "gptq"}, 0.5202),
        ({"kind": "awq"}, 0.5195),
        ({"kind": "fp8"}, 1.0002),
    ],
    ids=str,
)
def test_bytes_per_weight_after_loading(quantization: dict[str, Any], per_weight: float) -> None:
    """What loading leaves, without embedding, head, norms and adapters, by the quantized weights."""
    answer = run(BIG, param_dtype="bfloat16", quantization=quantization, lora=LORA, sequence_length=8)
    kept = (
        2 * (answer.parameters - answer.trainable_parameters - LAYERS * LINEAR)
        + 4 * answer.trainable_parameters
    )
    assert per_weight == pytest.approx((term_bytes(answer, "weights") - kept) / (LAYERS * LINEAR), abs=2e-4)


def test_embedding_head_and_norms_stay_as_they_are() -> None:
    """The quantizers leave the output layer and everything that is no linear layer."""
    answer = run(LLAMA, param_dtype="bfloat16", quantization={"kind": "nf4"}, lora=LORA)
    lines = [term.formula for term in answer.ledger.terms if term.name == "weights"]
    assert "2 × V·D × 2 B" in lines[0]
    assert "11 × D × 2 B" in lines[0]


def test_preparing_for_kbit_training_doubles_the_rest() -> None:
    """prepare_model_for_kbit_training casts embedding, head and norms to fp32: 2 B more for each of their numbers."""
    plain, prepared = (
        run(
            LLAMA,
            param_dtype="bfloat16",
            lora=LORA,
            quantization={"kind": "nf4", "prepared_for_kbit": flag},
        )
        for flag in (False, True)
    )
    rest = 2 * 1000 * 96 + 11 * 96
    assert 2 * rest == term_bytes(prepared, "weights") - term_bytes(plain, "weights")


def test_quantized_weights_never_train() -> None:
    """Without adapters nothing of the linear layers has a gradient or a state."""
    answer = run(LLAMA, param_dtype="bfloat16", quantization={"kind": "nf4"}, lora=LORA)
    assert 5 * 4 * ((96 + 144) + (96 + 48)) == answer.trainable_parameters


def test_the_count_of_parameters_is_that_of_the_model() -> None:
    """Packing changes bytes, not how many numbers a model has."""
    assert run(lora=LORA).parameters == run(lora=LORA, quantization={"kind": "nf4"}).parameters


def test_a_four_bit_product_saves_no_activation_and_int8_does() -> None:
    """MatMul4Bit keeps nothing but the packed weight; MatMul8bitLt keeps its input."""
    changes: dict[str, Any] = {
        "param_dtype": "bfloat16", "lora": {"r": 4, "target_modules": ["q_proj"]}, "micro_batch_size": 16,
    }  # fmt: skip
    packed, whole = (
        run(LLAMA, quantization={"kind": kind, "compute_dtype": "bfloat16"}, **changes)
        for kind in ("nf4", "int8")
    )
    held = [answer.phases["forward"].end - answer.phases["load"].end for answer in (packed, whole)]
    assert held[0] < held[1]


def test_an_unknown_kind_names_the_known_ones() -> None:
    """A format nobody knows is no guess."""
    with pytest.raises(CannotEstimate, match=r"'nf3' is not known; these are: .*nf4"):
        run(quantization={"kind": "nf3"}, lora=LORA)


def test_fp8_weights_are_restored_in_backward_only() -> None:
    """Transformers' FP8Linear multiplies in fp8 and gives the input a gradient through the restored weight."""
    found = {
        kind: run(
            param_dtype="bfloat16",
            micro_batch_size=1,
            sequence_length=2,
            lora={"r": 2, "target_modules": ["q_proj"]},
            quantization={"kind": kind, "compute_dtype": "bfloat16"},
        )
        for kind in ("fp8", "int8_weight_only")
    }
    assert found["fp8"].phases["forward"].peak < found["int8_weight_only"].phases["forward"].peak
