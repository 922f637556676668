"""The decoder families: parameter counts against the catalogue, training steps against the real libraries."""

from __future__ import annotations

from collections import Counter

import pytest

from benchmarks.accuracy.compare import compare
from benchmarks.accuracy.rows import Row, training_steps
from vramlint.knowledge.models import all_records
from vramlint.memory.engine import estimate
from vramlint.memory.families import decoder, family_of
from vramlint.memory.families.base import Config, UnsupportedTask
from vramlint.memory.modules import Stack
from vramlint.plan.document import Plan

LIMIT = 0.005
ROWS = training_steps("oracle_decoders.jsonl")
# The 20 B models have no biases before and behind the attention, which their catalogue entries do not say.
WITHOUT_BIAS = {"internlm/internlm-20b", "internlm/internlm-chat-20b"}


def _count(config: Config) -> int:
    family = family_of(str(config.get("model_type")))
    assert family is not None
    return sum(p.numel * p.copies for p in family.build(config, "causal-lm").parameters())


def test_parameter_counts_equal_the_catalogue() -> None:
    """Every language model of the catalogue whose family is walked has the catalogue's count, to the last number."""
    wrong, counted = {}, Counter[str]()
    for record in all_records():
        is_decoder = (record.counted_as or record.architecture).endswith(("ForCausalLM", "LMHeadModel"))
        if not is_decoder or family_of(record.model_type) is None or record.id in WITHOUT_BIAS:
            continue
        counted[record.model_type] += 1
        count = _count(Config({**record.config, "model_type": record.model_type}))
        if count != record.parameters:
            wrong[record.id] = (count, record.parameters)
    assert {} == wrong
    assert counted.total() > 600
    assert len(counted) > 45


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.id)
def test_a_training_step(row: Row) -> None:
    """Every figure is within half a percent: the peak, and peak and end of each phase."""
    (outcome,) = compare([row])
    assert outcome.why_not is None
    errors = {figure: outcome.error(figure) for figure in row.truth}
    assert {} == {figure: error for figure, error in errors.items() if error is None or abs(error) > LIMIT}


def test_the_rows_span_the_regimes() -> None:
    """Types, attention, checkpointing and heads all occur, and more than forty families."""
    assert len({row.family for row in ROWS}) > 40
    assert {"causal-lm", "sequence-classification"} == {row.plan["task"] for row in ROWS}
    assert {"sdpa", "eager"} == {row.plan["attention"] for row in ROWS}
    assert any(row.plan.get("gradient_checkpointing") for row in ROWS)
    assert any(row.plan.get("mixed_precision") for row in ROWS)


def test_a_pattern_of_layers_is_walked_once() -> None:
    """Gemma 3's 26 layers (five sliding, one full …) make one first layer, a pattern of six, and one last."""
    kinds = (["sliding"] * 5 + ["full"]) * 4 + ["sliding"] * 2
    stack = Stack(26, lambda _: decoder.RMSNorm(8), kinds)
    assert [1, 4, 1] == [len(group[0].indices) for group in stack.groups]
    assert [1, 6, 1] == [len(group) for group in stack.groups]
    assert 26 * 8 == sum(tensor.copies * 8 for _, tensor in stack.named_tensors())


def test_a_head_that_a_decoder_does_not_have() -> None:
    """A decoder has no head for images, and says so."""
    family = family_of("qwen3")
    assert family is not None
    config = Config({
        "model_type": "qwen3", "hidden_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4,
        "num_key_value_heads": 2, "intermediate_size": 96, "vocab_size": 100,
    })  # fmt: skip
    with pytest.raises(UnsupportedTask):
        family.build(config, "image-classification")


def test_reentrant_checkpointing_holds_the_weights_that_a_layer_returns() -> None:
    """GPT-J's layers return them unasked: CheckpointFunction.backward keeps them, and zeros as their gradient.

    The peak is that of a fake-tensor run of torch 2.13.0 and transformers 5.23.0.
    """
    config = {
        "model_type": "gptj", "n_embd": 512, "n_layer": 4, "n_head": 8, "n_inner": 2048, "n_positions": 1024,
        "vocab_size": 2000, "rotary_dim": 32,
    }  # fmt: skip
    plan = {
        "model": {"config": config}, "task": "causal-lm", "param_dtype": "bfloat16", "attention": "eager",
        "micro_batch_size": 4, "sequence_length": 1024, "gradient_checkpointing": {"use_reentrant": True},
        "optimizer": {"name": "torch.optim.AdamW"}, "libraries": {"torch": "2.13.0", "transformers": "5.23.0"},
    }  # fmt: skip
    answer = estimate(Plan.model_validate(plan))
    assert 701.6e6 == pytest.approx(answer.phases["backward"].peak, rel=0.001)
