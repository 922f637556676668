"""Regimes beside the model: steps inside of backward, offloaded activations, against the real libraries."""

from __future__ import annotations

from typing import Any

import pytest
from tests.memory.plans import LLAMA, run, term_bytes

from benchmarks.accuracy.compare import compare
from benchmarks.accuracy.rows import Row, training_steps

LIMIT = 0.005
ROWS = training_steps("oracle_regimes.jsonl")
ADAMW = {"name": "torch.optim.AdamW"}
WIDE = LLAMA | {"hidden_size": 768, "num_hidden_layers": 8, "head_dim": 128}


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.id)
def test_a_training_step(row: Row) -> None:
    """Every figure is within half a percent: the peak, and peak and end of each phase."""
    (outcome,) = compare([row])
    assert outcome.why_not is None
    errors = {figure: outcome.error(figure) for figure in row.truth}
    assert {} == {figure: error for figure, error in errors.items() if error is None or abs(error) > LIMIT}


def test_a_step_inside_of_backward_keeps_all_states_and_one_gradient() -> None:
    """Adam's two moments stay whole, and of the gradients at most the largest is left."""
    inside = run(optimizer=ADAMW | {"in_backward": True})
    after = run(optimizer=ADAMW)
    assert inside.phases["optimizer_step"].end == after.phases["optimizer_step"].end
    largest = max(LLAMA["vocab_size"], LLAMA["intermediate_size"]) * LLAMA["hidden_size"] * 4
    assert term_bytes(inside, "gradients") <= largest < term_bytes(after, "gradients")


@pytest.mark.parametrize(
    "sharding", [{"kind": "fsdp2", "world_size": 4}, {"kind": "ddp", "world_size": 4}, None]
)
def test_a_step_inside_of_backward_ends_where_a_later_one_does(sharding: dict[str, Any] | None) -> None:
    """Sharded or not, the same states are left."""
    ends = {
        run(optimizer=ADAMW | {"in_backward": inside}, sharding=sharding).phases["optimizer_step"].end
        for inside in (False, True)
    }
    assert len(ends) == 1


def test_lomo_keeps_no_states() -> None:
    """What is left after a step of LOMO are the weights."""
    found = run(optimizer={"name": "lomo"})
    assert found.phases["optimizer_step"].end - found.phases["load"].end < 8192


@pytest.mark.parametrize("framework", ["torch", "torchtune", "trl"])
def test_offloading_lets_no_layer_add_to_the_forward_pass(framework: str) -> None:
    """With every saved tensor in host memory, twice the layers need no more memory at the end of the forward pass.

    Only what a framework leaves there deliberately grows: TRL keeps storages that are saved twice.
    """
    ends = []
    for layers in (8, 16):
        found = run(
            WIDE | {"num_hidden_layers": layers},
            framework=framework,
            activation_offload=True,
            gradient_checkpointing={"use_reentrant": False},
            optimizer={"name": "torch.optim.SGD"},
        )
        ends.append(found.phases["forward"].end - found.phases["load"].end)
    assert abs(ends[0] - ends[1]) <= 4096


def test_torchtune_leaves_logits_and_weights_on_the_gpu() -> None:
    """Its context spares the output layer and the loss, which save_on_cpu offloads."""
    ends = {
        framework: run(framework=framework, activation_offload=True, micro_batch_size=16)
        .phases["forward"]
        .end
        for framework in ("torch", "torchtune")
    }
    logits = 16 * 40 * LLAMA["vocab_size"] * 4
    assert ends["torchtune"] - ends["torch"] >= logits


def test_unsloth_offloads_to_two_buffers() -> None:
    """Inputs of layers go to host memory; two buffers of one input each stay on the GPU."""
    found = run(
        WIDE,
        framework="unsloth",
        param_dtype="bfloat16",
        lora={"r": 8, "target_modules": ["q_proj"]},
        micro_batch_size=16,
        sequence_length=256,
        gradient_checkpointing={"use_reentrant": True, "offload": True},
    )
    assert term_bytes(found, "buffers of offloaded checkpoints") == 2 * 16 * 256 * 768 * 2


def test_a_compiled_step_is_lighter_and_its_range_reaches_the_eager_one() -> None:
    """The expected figure lies below eager mode's, the high end at its own, and the ledger has a term for it."""
    eager, compiled = run(), run(compile=True)
    assert compiled.allocated.low < compiled.allocated.expected < eager.allocated.expected
    assert compiled.allocated.high >= eager.allocated.expected
    assert compiled.ledger.peak == compiled.allocated.expected
    assert term_bytes(compiled, "spared by torch.compile") < 0
    assert compiled.phases["optimizer_step"] == eager.phases["optimizer_step"]
    assert any("CUDA graphs" in said for said in compiled.assumptions)


def test_fp8_training_is_its_half_precision_run_with_a_wide_range() -> None:
    """TransformerEngine's two fp8 copies of the linear layers' weights are in the high end."""
    half, eighth = (run(mixed_precision="bf16", fp8=kind) for kind in (None, "transformer_engine"))
    assert eighth.allocated.expected == half.allocated.expected
    assert eighth.allocated.low < half.allocated.low
    linear = half.parameters - LLAMA["vocab_size"] * LLAMA["hidden_size"] - 11 * LLAMA["hidden_size"]
    assert eighth.allocated.high - half.allocated.high == 2 * linear
