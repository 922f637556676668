"""Adapters: how many numbers they add, in which type, and what trains."""

from __future__ import annotations

from typing import Any

import pytest
from tests.memory.plans import GPT2, run, term_bytes

from vramlint.memory.engine import CannotEstimate

D, F, L, R = 96, 200, 5, 4
QUERIES, KEYS = 6 * 24, 2 * 24  # N·H, K·H
# (in, out) of every linear layer of one Llama layer
LINEAR = {
    "q_proj": (D, QUERIES), "k_proj": (D, KEYS), "v_proj": (D, KEYS), "o_proj": (QUERIES, D),
    "gate_proj": (D, F), "up_proj": (D, F), "down_proj": (F, D),
}  # fmt: skip


def pairs(*names: str) -> int:
    """Return the numbers of A and B of these targets in all layers: r·(in + out) each."""
    return L * R * sum(sum(LINEAR[name]) for name in names)


@pytest.mark.parametrize(
    ("lora", "trained"),
    [
        ({}, pairs("q_proj", "v_proj")),
        ({"kind": "rslora"}, pairs("q_proj", "v_proj")),
        ({"target_modules": "all-linear"}, pairs(*LINEAR)),
        ({"target_modules": ["k_proj", "down_proj"]}, pairs("k_proj", "down_proj")),
        ({"target_modules": r".*\.(gate|up)_proj"}, pairs("gate_proj", "up_proj")),
        ({"kind": "dora"}, pairs("q_proj", "v_proj") + L * (QUERIES + KEYS)),
        ({"kind": "ia3"}, L * (KEYS + KEYS + F)),
        ({"modules_to_save": ["lm_head"]}, pairs("q_proj", "v_proj") + 1000 * D),
        ({"kind": "prompt", "num_virtual_tokens": 7}, 7 * D),
        (
            {"kind": "p-tuning", "num_virtual_tokens": 7, "encoder_hidden_size": 10},
            7 * D + 10 * D + 10 + 110 + 11 * D,
        ),
        (
            {
                "kind": "p-tuning",
                "num_virtual_tokens": 7,
                "encoder_hidden_size": 10,
                "encoder_num_layers": 1,
                "encoder_reparameterization_type": "LSTM",
            },
            7 * D + 2 * 40 * (D + 10 + 2) + 20 * 20 + 20 + 20 * D + D,
        ),
        (
            {"kind": "multitask-prompt", "num_virtual_tokens": 7, "num_tasks": 3, "num_ranks": 2},
            7 * D + 3 * 2 * (7 + D),
        ),
        ({"kind": "prefix", "num_virtual_tokens": 7}, 7 * L * 2 * 2 * (D // 6)),
        ({"kind": "vera"}, L * (QUERIES + KEYS + 2 * R)),
        ({"kind": "adalora"}, pairs("q_proj", "v_proj") + L * 2 * (R + 1)),
        ({"kind": "loha"}, 2 * pairs("q_proj", "v_proj")),
        ({"kind": "ln-tuning"}, (2 * L + 1) * D),
    ],
    ids=str,
)
def test_trained_parameters_in_closed_form(lora: dict[str, Any], trained: int) -> None:
    """LoRA r·(in + out) per target; DoRA the outputs besides; IA³ one vector; a saved module itself."""
    plain, adapted = run(), run(lora={"r": R} | lora)
    assert plain.parameters + trained == adapted.parameters
    assert trained == adapted.trainable_parameters


def test_gpt2_is_adapted_where_its_query_key_and_value_are_one() -> None:
    """PEFT's default for GPT-2 is c_attn, a Conv1D of D to 3·D."""
    assert L * R * (D + 3 * D) == run(GPT2, lora={"r": R}).trainable_parameters


@pytest.mark.parametrize(
    ("param_dtype", "dtype", "item"),
    [("bfloat16", None, 4), ("bfloat16", "bfloat16", 2), ("float32", None, 4)],
)
def test_adapters_beside_half_weights_are_fp32(param_dtype: str, dtype: str | None, item: int) -> None:
    """autocast_adapter_dtype of PEFT: 16 B per adapter number with AdamW, unless the plan says otherwise."""
    answer = run(param_dtype=param_dtype, lora={"r": R, "dtype": dtype})
    count = answer.trainable_parameters
    assert item * count == term_bytes(answer, "exp_avg") == term_bytes(answer, "gradients")


def test_only_adapters_have_gradients_and_states() -> None:
    """The base is frozen: after the step there are weights, and two moments for the adapters."""
    answer = run(lora={"r": R})
    bare = run(lora={"r": R}, optimizer={"name": "torch.optim.SGD"})
    blocks = answer.phases["optimizer_step"].end - bare.phases["optimizer_step"].end
    tensors = 2 * 2 * L  # A and B of two targets
    assert (
        2 * 4 * answer.trainable_parameters
        <= blocks
        <= 2 * 4 * answer.trainable_parameters + 3 * tensors * 512
    )


def test_a_saved_module_exists_twice() -> None:
    """`modules_to_save` keeps the frozen original beside the copy that trains."""
    plain, saved = run(lora={"r": R}), run(lora={"r": R, "modules_to_save": ["lm_head"]})
    assert 4 * 1000 * D == saved.phases["load"].end - plain.phases["load"].end


def test_lora_saves_activations_too() -> None:
    """The base's layers still pass gradients on, so activations stay, and dropout adds masks and copies."""
    small = {"micro_batch_size": 8, "param_dtype": "bfloat16", "mixed_precision": "bf16"}
    plain = run(**small)
    adapted = run(**small, lora={"r": R, "target_modules": "all-linear", "dropout": 0.1})
    held = [answer.phases["forward"].end - answer.phases["load"].end for answer in (plain, adapted)]
    assert held[1] > 0.8 * held[0]
    without = run(**small, lora={"r": R, "target_modules": "all-linear"})
    assert without.phases["forward"].end < adapted.phases["forward"].end


def test_checkpointing_a_frozen_base_needs_an_input_that_wants_a_gradient() -> None:
    """With `enable_input_require_grads` the checkpoints are on the way of the gradient; activations go."""
    plain, lean = (
        run(lora={"r": R}, micro_batch_size=16, gradient_checkpointing=checkpointed)
        for checkpointed in (False, True)
    )
    assert lean.phases["forward"].end < 0.8 * plain.phases["forward"].end
    assert lean.trainable_parameters == plain.trainable_parameters


@pytest.mark.parametrize(
    ("lora", "reason"),
    [
        ({"kind": "xlora"}, "adapters of kind 'xlora' are not walked"),
        ({"kind": "prompt"}, "needs num_virtual_tokens"),
        ({"target_modules": ["nowhere"]}, "no linear layer of this llama model matches"),
    ],
)
def test_what_cannot_be_said_is_said(lora: dict[str, Any], reason: str) -> None:
    """Another kind of adapter, or targets that match nothing, give a reason and no figure."""
    with pytest.raises(CannotEstimate, match=reason):
        run(lora=lora)


def test_virtual_tokens_lengthen_the_text() -> None:
    """Prompt tuning of 8 tokens on 32 walks what 40 tokens do, but for the labels and the tokens' own embedding."""
    longer = run(sequence_length=40, lora={"kind": "prompt", "num_virtual_tokens": 1})
    prompted = run(sequence_length=33, lora={"kind": "prompt", "num_virtual_tokens": 8})
    assert abs(longer.allocated.expected - prompted.allocated.expected) < 0.01 * longer.allocated.expected


def test_a_task_with_two_texts_has_two_prompts() -> None:
    """PEFT trains as many tokens again for the decoder of an encoder-decoder (num_transformer_submodules)."""
    t5 = {
        "model_type": "t5", "d_model": 64, "d_ff": 128, "d_kv": 16, "num_layers": 2, "num_heads": 4,
        "vocab_size": 1000,
    }  # fmt: skip
    found = run(t5, task="seq2seq-lm", target_length=8, lora={"kind": "prompt", "num_virtual_tokens": 5})
    assert found.trainable_parameters == 2 * 5 * 64


def test_a_kind_that_is_not_walked_has_a_range() -> None:
    """OFT is taken as LoRA, with the high end of a method that makes whole weights."""
    found, lora = run(lora={"kind": "oft", "r": R}), run(lora={"r": R})
    assert found.allocated.expected == lora.allocated.expected
    assert found.allocated.low <= lora.allocated.low
    assert found.allocated.high > lora.allocated.high
    assert "'oft' are not walked" in found.assumptions[0]


def test_prefixes_do_not_go_with_checkpointing() -> None:
    """PEFT raises a ValueError, since checkpointing drops the cache."""
    with pytest.raises(CannotEstimate, match="PEFT refuses prefix tuning"):
        run(lora={"kind": "prefix", "num_virtual_tokens": 4}, gradient_checkpointing={})
