"""The numbers that people know by heart, out of the engine instead of out of a rule."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from tests.memory.plans import group_bytes, run, term_bytes

from vramlint.knowledge import textbook
from vramlint.memory.engine import estimate
from vramlint.plan.document import Plan

if TYPE_CHECKING:
    from vramlint.memory.estimate import Estimate

B = 10**9
GB = 10**9
PHI_3 = "microsoft/Phi-3-mini-4k-instruct"
PHI_3_COUNT = 3_821_079_552


def states(billions: int, optimizer: dict[str, Any], **changes: Any) -> int:
    """Return the bytes of the states that a training of so many billion parameters keeps, step counters aside."""
    changes = {"param_dtype": "float32", "micro_batch_size": 1, "sequence_length": 8} | changes
    document = {"model": {"parameters": billions * B}, "optimizer": optimizer} | changes
    answer = estimate(Plan.model_validate(document))
    assert billions * B == answer.parameters
    return sum(
        term.bytes for term in answer.ledger.terms if term.group == "optimizer" and term.name != "step"
    )


@pytest.mark.parametrize(
    ("optimizer", "gigabytes"),
    [
        ({"name": "torch.optim.SGD"}, 0),
        ({"name": "torch.optim.SGD", "momentum": 0.9}, 4),
        ({"name": "torch.optim.Adam"}, 8),
        ({"name": "torch.optim.AdamW"}, 8),
        ({"name": "lion_pytorch.Lion"}, 4),
    ],
    ids=lambda value: str(value["name"]) if isinstance(value, dict) else "",
)
def test_states_of_a_billion_fp32_parameters(optimizer: dict[str, Any], gigabytes: int) -> None:
    """0 for SGD, one copy for momentum and Lion, two for Adam."""
    assert gigabytes * GB == states(1, optimizer)


@pytest.mark.parametrize(("billions", "gigabytes"), [(175, 2100), (70, 840), (1, 12)])
def test_states_with_an_fp32_master_copy(billions: int, gigabytes: int) -> None:
    """12 B per parameter where DeepSpeed keeps fp32 weights beside half ones: 2.1 TB for 175 B, 840 GB for 70 B."""
    engine = {"framework": "deepspeed", "sharding": {"kind": "zero1"}, "mixed_precision": "bf16"}
    assert gigabytes * GB == states(billions, {"name": "torch.optim.AdamW", "fused": True}, **engine)


def test_without_such_an_engine_there_is_no_master_copy() -> None:
    """The same 70 B under autocast alone: 560 GB of states, and the weights themselves are the fp32 copy."""
    assert 560 * GB == states(70, {"name": "torch.optim.AdamW"}, mixed_precision="bf16")


def test_phi_3_mini() -> None:
    """The rule's 3.8 B give 7.6 and 30.4 GB; the 3,821,079,552 that there are give 7.64 and 30.57.

    Weights in bf16 take 2 B each; states take 8 B each only where the weights are fp32, as autocast has them.
    """
    half = run(PHI_3, param_dtype="bfloat16", micro_batch_size=1)
    assert PHI_3_COUNT == half.parameters
    assert 2 * PHI_3_COUNT == term_bytes(half, "weights")
    assert 7.64 == round(term_bytes(half, "weights") / GB, 2)
    whole = run(PHI_3, param_dtype="float32", mixed_precision="bf16", micro_batch_size=1)
    moments = term_bytes(whole, "exp_avg") + term_bytes(whole, "exp_avg_sq")
    assert 8 * PHI_3_COUNT == moments
    assert 30.57 == round(moments / GB, 2)
    assert 0.01 > abs(textbook.optimizer_states("adamw", 3_800_000_000).bytes / moments - 1)


def test_states_have_the_type_of_the_parameters() -> None:
    """No fp32 master copy appears by itself: a model in pure bf16 has 4 B per parameter of AdamW states, not 8."""
    half = run(PHI_3, param_dtype="bfloat16", micro_batch_size=1)
    assert 4 * PHI_3_COUNT == term_bytes(half, "exp_avg") + term_bytes(half, "exp_avg_sq")


@pytest.mark.parametrize(
    ("param_dtype", "mixed_precision", "fused", "expected"),
    [
        ("float32", "no", False, 20),
        ("float32", "no", True, 16),
        ("float32", "bf16", True, 16),
        ("bfloat16", "no", False, 10),
        ("bfloat16", "no", True, 8),
        ("bfloat16", "bf16", True, 8),
    ],
)  # fmt: skip
def test_bytes_per_parameter_in_the_optimizers_step(
    param_dtype: str,
    mixed_precision: str,
    fused: bool,  # noqa: FBT001  a table's column
    expected: int,
) -> None:
    """16 B in fp32, with autocast too; 8 in pure bf16; foreach adds one copy for a moment (2 × two half copies)."""
    answer = run(
        PHI_3,
        param_dtype=param_dtype,
        mixed_precision=mixed_precision,
        micro_batch_size=1,
        sequence_length=1,
        optimizer={"name": "torch.optim.AdamW", "fused": fused},
    )
    assert expected == round(answer.phases["optimizer_step"].peak / PHI_3_COUNT, 2)


def test_the_count_of_a_gpt() -> None:
    """N = hv + L(12h² + 13h) + 2h is what GPT-2 has without its position embeddings, for every size of it."""
    for h, L, heads in ((768, 12, 12), (1024, 24, 16), (1600, 48, 25)):
        config = {
            "model_type": "gpt2", "n_embd": h, "n_layer": L, "n_head": heads, "vocab_size": 50257,
            "n_positions": 1024,
        }  # fmt: skip
        answer = run(config, sequence_length=8, micro_batch_size=1)
        rule = textbook.transformer_parameters(h=h, v=50257, L=L)
        assert h * 50257 + L * (12 * h * h + 13 * h) + 2 * h == rule
        assert rule + 1024 * h == answer.parameters


def test_where_the_rule_and_the_engine_part() -> None:
    """Gated MLPs, grouped heads and an untied output layer: 2 % low for Llama 2 7B, 13 % for Llama 3 8B."""
    for name, h, v, L, low, high in (
        ("meta-llama/Llama-2-7b-hf", 4096, 32000, 32, 0.02, 0.03),
        ("meta-llama/Meta-Llama-3-8B", 4096, 128256, 32, 0.13, 0.14),
    ):
        answer = run(name, sequence_length=8, micro_batch_size=1)
        assert low < abs(textbook.transformer_parameters(h=h, v=v, L=L) / answer.parameters - 1) < high


def test_the_textbooks_sum_is_not_the_peak() -> None:
    """Weights, gradients and states add up to 16 B per parameter, but the worst moment holds more.

    Small batches: the foreach temporary of the optimizer. Large ones: activations and logits, in backward.
    """
    small = run("gpt2", micro_batch_size=1, sequence_length=16)
    large = run("gpt2", micro_batch_size=32, sequence_length=1024)
    assert ("optimizer_step", "backward") == (small.phase, large.phase)
    assert 20 == round(small.allocated.expected / small.parameters)
    assert 4 * 16 * large.parameters < group_bytes(large, "activations") + group_bytes(large, "temporaries")


def test_a_bare_count_says_what_it_knows() -> None:
    """The states are exact; the activations are a nearest decoder's, and the estimate says so."""
    answer = estimate(Plan.model_validate({"model": {"parameters": 7 * B}}))
    assert 20 == round(answer.phases["optimizer_step"].peak / (7 * B), 3)
    assert any("only the number of parameters is known" in note for note in answer.assumptions)
    known = run("gpt2")
    assert _width(known) < _width(answer)


def _width(answer: Estimate) -> float:
    return (answer.allocated.high - answer.allocated.low) / answer.allocated.expected
