"""What frameworks and their versions change in the memory of one and the same plan."""

from __future__ import annotations

from typing import Any

import pytest

from vramlint.memory.engine import CannotEstimate, estimate
from vramlint.plan.document import Plan

LLAMA = {
    "model_type": "llama",
    "hidden_size": 1024,
    "num_hidden_layers": 8,
    "num_attention_heads": 16,
    "num_key_value_heads": 16,
    "intermediate_size": 2816,
    "vocab_size": 32000,
}
ROWS, LENGTH, VOCABULARY = 4, 2048, 32000
LOGITS = ROWS * LENGTH * VOCABULARY


def peak(**changes: Any) -> int:
    """Return the allocated peak of a small Llama with some settings changed."""
    plan = {
        "model": {"config": LLAMA},
        "task": "causal-lm",
        "param_dtype": "bfloat16",
        "micro_batch_size": ROWS,
        "sequence_length": LENGTH,
        "optimizer": {"name": "torch.optim.SGD"},
        **changes,
    }
    return estimate(Plan.model_validate(plan)).allocated.expected


@pytest.mark.parametrize(("version", "bytes_per_logit"), [("4.44.0", 2), ("4.48.1", 4), ("4.50.0", 0)])
def test_old_losses_copy_the_logits(version: str, bytes_per_logit: int) -> None:
    """Bytes per logit at the end of forward beyond the 10 of today: 12 up to 4.45, 14 up to 4.48."""

    def forward(name: str) -> int:
        plan = Plan.model_validate(
            {
                "model": {"config": LLAMA},
                "task": "causal-lm",
                "framework": "transformers",
                "param_dtype": "bfloat16",
                "micro_batch_size": ROWS,
                "sequence_length": LENGTH,
                "libraries": {"transformers": name},
            }
        )
        return estimate(plan).phases["forward"].peak

    more = forward(version) - forward("4.57.6")
    assert bytes_per_logit * LOGITS == pytest.approx(more, rel=0.01, abs=2**21)


def test_selective_checkpointing_lies_between_none_and_all() -> None:
    """Keeping every second matrix product, or every second layer, costs something between the two."""
    none, full = peak(), peak(gradient_checkpointing=True)
    for selective in ("ops", "every-2"):
        assert full < peak(gradient_checkpointing={"selective": selective}) < none


def test_every_second_layer_keeps_half() -> None:
    """With every second layer checkpointed, about half of the saving is left."""
    none, full = peak(), peak(gradient_checkpointing=True)
    half = peak(gradient_checkpointing={"selective": "2"})
    assert 0.5 == pytest.approx((none - half) / (none - full), abs=0.1)


def test_an_unknown_selection_is_refused() -> None:
    """A selection that is not walked gets an answer that names those that are."""
    with pytest.raises(CannotEstimate, match="ops and every-N are"):
        peak(gradient_checkpointing={"selective": "somehow"})


def test_gradients_wait_whole_between_updates() -> None:
    """Under FSDP, accelerate sums gradients whole on each GPU while it accumulates; every GPU's part is not enough."""
    sharding = {"kind": "fsdp", "world_size": 8, "strategy": "full-shard"}
    once = peak(framework="transformers", sharding=sharding, gradient_checkpointing=True)
    twice = peak(
        framework="transformers",
        sharding=sharding,
        gradient_checkpointing=True,
        gradient_accumulation_steps=2,
    )
    layers = 8 * (4 * 1024 * 1024 + 3 * 1024 * 2816) * 2
    assert 0.5 * layers < twice - once


@pytest.mark.parametrize(("version", "keeps"), [("0.43.1", True), ("0.43.2", False)])
def test_old_bitsandbytes_keeps_inputs(version: str, *, keeps: bool) -> None:
    """MatMul4Bit saved its input before 0.43.2; the down projection's is saved by nothing else."""
    settings = {
        "lora": {"r": 8, "target_modules": ["q_proj"], "dtype": "bfloat16"},
        "quantization": {"kind": "nf4", "compute_dtype": "bfloat16"},
    }
    more = peak(**settings, libraries={"bitsandbytes": version}) - peak(**settings)
    kept = 8 * ROWS * LENGTH * 2816 * 2
    assert keeps == (more > 0.8 * kept)


def test_litgpt_runs_its_own_model() -> None:
    """LitGPT's query and value adapters save more than PEFT's: the padded update, and all of the fused projection."""
    settings = {
        "lora": {"r": 8, "target_modules": ["q_proj", "v_proj"], "dtype": "bfloat16"},
        "loss": "chunked",
    }
    assert peak(framework="torch", **settings) < peak(framework="litgpt", **settings)


def test_softmax_kept_its_input_before_torch_1_11() -> None:
    """Eager attention then holds each layer's fp32 scores once more, and the loss the logits (pytorch PR #65242)."""
    scores = ROWS * LLAMA["num_attention_heads"] * LENGTH * LENGTH * 4
    eager = {"attention": "eager", "param_dtype": "float32"}
    older = peak(**eager, libraries={"torch": "1.10.2"}) - peak(**eager, libraries={"torch": "1.11.0"})
    assert LLAMA["num_hidden_layers"] * scores + 4 * LOGITS == older


@pytest.mark.parametrize(
    ("version", "copies"),
    [("1.13.1", 0), ("2.0.1", 2), ("2.1.0.dev20230623", 2), ("2.1.0", 1), ("2.13.0", 1)],
)
def test_adam_steps_need_fewer_copies_since_torch_2_1(version: str, copies: int) -> None:
    """Foreach is the default since 2.0 and held two copies of all weights until 2.1 (pytorch issue #97712)."""
    plan = {
        "model": {"config": LLAMA}, "task": "causal-lm", "param_dtype": "float32",
        "micro_batch_size": 1, "sequence_length": 16, "libraries": {"torch": version},
    }  # fmt: skip
    steps = {
        name: estimate(Plan.model_validate(plan | {"optimizer": {"name": "torch.optim.AdamW"} | more}))
        for name, more in {"asked": {}, "fused": {"fused": True}}.items()
    }
    extra = steps["asked"].phases["optimizer_step"].peak - steps["fused"].phases["optimizer_step"].peak
    weights = sum(term.bytes for term in steps["asked"].ledger.terms if term.group == "weights")
    assert copies == round(extra / weights)
