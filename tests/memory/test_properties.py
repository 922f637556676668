"""What holds for every plan: more of anything never needs less, and figures keep their order."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.memory.plans import plan

from vramlint.knowledge import gpus
from vramlint.memory.engine import estimate, estimate_all
from vramlint.memory.estimate import Range
from vramlint.memory.runtime import plus, reserved_range

if TYPE_CHECKING:
    from collections.abc import Callable

    from vramlint.memory.estimate import Estimate
    from vramlint.plan.document import Plan

# Reproducible, so that a failure comes from the change at hand.
FAST = settings(
    derandomize=True, deadline=None, max_examples=60, suppress_health_check=[HealthCheck.too_slow]
)

ALTERNATIVES: list[tuple[str, list[Any]]] = [
    ("micro_batch_size", [4, 8, 1]),
    ("sequence_length", [64, 128, 7]),
    ("mixed_precision", ["bf16", "no"]),
    ("gradient_checkpointing", [True, False]),
    ("optimizer", [{"name": "torch.optim.SGD"}, {"name": "torch.optim.AdamW"}]),
]

HEAD = 16  # fixed, as the kernel's choice and the tiles of its backward depend on it


@st.composite
def configs(draw: st.DrawFn) -> dict[str, Any]:
    """Draw a small decoder."""
    heads, groups = draw(st.sampled_from([(2, 1), (4, 2), (4, 4), (8, 2)]))
    family = draw(st.sampled_from(["llama", "gpt2", "qwen2", "phi3"]))
    width, layers = heads * HEAD, draw(st.integers(1, 9))
    vocabulary, inner = draw(st.integers(10, 4000)), draw(st.integers(8, 300))
    if family == "gpt2":
        return {
            "model_type": family, "n_embd": width, "n_head": heads, "n_layer": layers, "n_inner": inner,
            "vocab_size": vocabulary, "n_positions": 4096,
        }  # fmt: skip
    return {
        "model_type": family, "hidden_size": width, "num_attention_heads": heads, "num_key_value_heads": groups,
        "num_hidden_layers": layers, "intermediate_size": inner, "vocab_size": vocabulary, "head_dim": HEAD,
        "tie_word_embeddings": draw(st.booleans()),
    }  # fmt: skip


@st.composite
def documents(draw: st.DrawFn) -> dict[str, Any]:
    """Draw the keys of a training plan in one of many regimes."""
    dtype, autocast = draw(
        st.sampled_from([("float32", "no"), ("float32", "bf16"), ("bfloat16", "no"), ("bfloat16", "bf16")])
    )
    return {
        "model": {"config": draw(configs())},
        "param_dtype": dtype,
        "mixed_precision": autocast,
        "attention": draw(st.sampled_from(["sdpa", "eager"])),
        "micro_batch_size": draw(st.integers(1, 6)),
        "sequence_length": draw(st.integers(1, 200)),
        "optimizer": {
            "name": draw(st.sampled_from(["torch.optim.AdamW", "torch.optim.SGD", "torch.optim.Adafactor"])),
        },
        "gradient_checkpointing": draw(st.booleans()),
        "gradient_accumulation_steps": draw(st.integers(1, 3)),
        "loop": {
            "keeps_outputs": draw(st.booleans()),
            "zero_grad": draw(st.sampled_from(["start", "before_backward", "end"])),
            "padding_mask": draw(st.booleans()),
        },
        "framework": draw(st.sampled_from(["torch", "transformers", "lightning"])),
    }


def answer_to(document: dict[str, Any]) -> Estimate:
    """Return the estimate of a plan document."""
    return estimate(plan(**document))


def with_config(document: dict[str, Any], **changes: Any) -> dict[str, Any]:
    """Return the document with some sizes of its model changed."""
    return document | {"model": {"config": document["model"]["config"] | changes}}


def more_rows(document: dict[str, Any], amount: int) -> dict[str, Any]:
    """Return the document with a larger batch."""
    return document | {"micro_batch_size": document["micro_batch_size"] + amount}


def more_tokens(document: dict[str, Any], amount: int) -> dict[str, Any]:
    """Return the document with longer sequences."""
    return document | {"sequence_length": document["sequence_length"] + 16 * amount}


def more_layers(document: dict[str, Any], amount: int) -> dict[str, Any]:
    """Return the document with a deeper model."""
    config = document["model"]["config"]
    name = "n_layer" if "n_layer" in config else "num_hidden_layers"
    return with_config(document, **{name: config[name] + amount})


def more_words(document: dict[str, Any], amount: int) -> dict[str, Any]:
    """Return the document with a larger vocabulary."""
    return with_config(document, vocab_size=document["model"]["config"]["vocab_size"] + 50 * amount)


def wider_mlp(document: dict[str, Any], amount: int) -> dict[str, Any]:
    """Return the document with a wider feed-forward part."""
    config = document["model"]["config"]
    name = "n_inner" if "n_inner" in config else "intermediate_size"
    return with_config(document, **{name: config[name] + 8 * amount})


def wider(document: dict[str, Any], amount: int) -> dict[str, Any]:
    """Return the document with more heads of the same size, so with a wider model."""
    config = document["model"]["config"]
    if "n_embd" in config:
        heads = config["n_head"] + amount
        return with_config(document, n_head=heads, n_embd=heads * HEAD)
    heads = config["num_attention_heads"] + amount * config["num_key_value_heads"]
    return with_config(document, num_attention_heads=heads, hidden_size=heads * HEAD)


@pytest.mark.parametrize("more", [more_rows, more_tokens, more_layers, more_words, wider_mlp, wider])
@FAST
@given(document=documents(), amount=st.integers(1, 5))
def test_more_never_needs_less(
    more: Callable[[dict[str, Any], int], dict[str, Any]], document: dict[str, Any], amount: int
) -> None:
    """Invariant 5: more rows, tokens, layers, words or width raise the peak, and that of every phase."""
    less, larger = answer_to(document), answer_to(more(document, amount))
    assert less.allocated.expected <= larger.allocated.expected
    for phase, figure in less.phases.items():
        assert figure.peak <= larger.phases[phase].peak, phase


@FAST
@given(document=documents(), gpu=st.sampled_from([None, "A100 80GB", "H100 SXM", "24GB"]))
def test_figures_keep_their_order(document: dict[str, Any], gpu: str | None) -> None:
    """Low, expected and high; allocated, reserved and device; phases below the peak, ends below their phases."""
    answer = estimate(plan(**document), gpus.find(gpu) if gpu else None)
    for figure in (answer.allocated, answer.reserved, answer.device):
        assert 0 < figure.low <= figure.expected <= figure.high
    for smaller, larger in ((answer.allocated, answer.reserved), (answer.reserved, answer.device)):
        assert smaller.low <= larger.low
        assert smaller.expected <= larger.expected
        assert smaller.high <= larger.high
    assert answer.allocated.expected == max(figure.peak for figure in answer.phases.values())
    assert answer.allocated.expected == answer.phases[answer.phase].peak
    for figure_of_phase in answer.phases.values():
        assert 0 <= figure_of_phase.end <= figure_of_phase.peak


@FAST
@given(document=documents())
def test_the_terms_add_up(document: dict[str, Any]) -> None:
    """Whatever the regime, the terms at the peak are the peak, and none is empty or negative."""
    answer = answer_to(document)
    assert answer.allocated.expected == answer.ledger.peak
    assert all(line.count > 0 for term in answer.ledger.terms for line in term.lines)


@FAST
@given(document=documents())
def test_checkpointing_never_leaves_more_after_forward(document: dict[str, Any]) -> None:
    """Of a stack, inputs of layers are kept instead of everything inside of them."""
    document |= {"loop": {}, "framework": "torch"}
    plain, lean = (answer_to(document | {"gradient_checkpointing": flag}) for flag in (False, True))
    assert lean.phases["forward"].end <= plain.phases["forward"].end


@FAST
@given(document=documents(), data=st.data())
def test_knowing_more_gives_a_part_of_the_range(document: dict[str, Any], data: st.DataObject) -> None:
    """Replacing one of several values by one of them, the range of all holds that of the one."""
    key, values = data.draw(st.sampled_from(ALTERNATIVES))
    plans: list[Plan] = [plan(**document | {key: value}) for value in values]
    whole = estimate_all(plans)
    assert estimate(plans[0]).allocated.expected == whole.allocated.expected
    parts: list[Estimate] = [estimate_all(plans[:-1]), *(estimate(one) for one in plans)]
    for part in parts:
        for name in ("allocated", "reserved", "device"):
            inner, outer = getattr(part, name), getattr(whole, name)
            assert outer.low <= inner.low
            assert inner.high <= outer.high


@FAST
@given(document=documents())
def test_the_same_plan_gives_the_same_answer(document: dict[str, Any]) -> None:
    """Nothing of one walk is left for the next."""
    assert answer_to(document) == answer_to(document)


@FAST
@given(document=documents(), rank=st.integers(1, 16))
def test_a_larger_rank_never_needs_less(document: dict[str, Any], rank: int) -> None:
    """Of LoRA; and adapters train fewer numbers than the model has."""
    targets = ["c_attn"] if "n_embd" in document["model"]["config"] else ["down_proj"]
    small, large = (
        answer_to(document | {"lora": {"r": r, "target_modules": targets}}) for r in (rank, 2 * rank)
    )
    assert small.allocated.expected <= large.allocated.expected
    assert 2 * small.trainable_parameters == large.trainable_parameters


@given(st.integers(0, 2**40), st.integers(0, 2**38), st.integers(0, 2**38))
@settings(derandomize=True)
def test_reserved_and_context_keep_the_order(low: int, middle: int, high: int) -> None:
    """What the allocator keeps is never less than what it hands out, and sums go end by end."""
    allocated = Range(low, low + middle, low + middle + high)
    reserved = reserved_range(allocated)
    assert allocated.low <= reserved.low <= reserved.expected <= reserved.high
    assert allocated.expected <= reserved.expected
    both = plus(allocated, reserved)
    assert (allocated.low + reserved.low, allocated.high + reserved.high) == (both.low, both.high)
