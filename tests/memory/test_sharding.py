"""Sharded training: what stays on one GPU of many, against the frameworks' closed forms."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from tests.memory.plans import LLAMA, plan, run, term_bytes

from vramlint.memory.engine import CannotEstimate

if TYPE_CHECKING:
    from vramlint.memory.estimate import Estimate

CONFIG = LLAMA | {"hidden_size": 512, "intermediate_size": 1536, "vocab_size": 8192, "num_hidden_layers": 6}
D, F, V, L, QUERIES, KEYS = 512, 1536, 8192, 6, 6 * 24, 2 * 24
LAYER = D * (2 * QUERIES + 2 * KEYS + 3 * F) + 2 * D
ROOT = 2 * V * D + D
N = L * LAYER + ROOT
KINDS: dict[str, dict[str, Any]] = {
    "zero1": {"kind": "zero1"},
    "zero2": {"kind": "zero2"},
    "zero3": {"kind": "zero3"},
    "fsdp": {"kind": "fsdp"},
    "fsdp2": {"kind": "fsdp2"},
    "shard-grad-op": {"kind": "fsdp", "strategy": "shard-grad-op"},
}
FUSED = {"name": "torch.optim.AdamW", "fused": True}


def sharded(name: str, world: int, **changes: Any) -> Estimate:
    """Return the memory of one GPU of so many under bf16 mixed precision."""
    framework = "deepspeed" if name.startswith("zero") else "torch"
    keys = {
        "framework": framework, "mixed_precision": "bf16", "micro_batch_size": 1, "sequence_length": 64,
        "optimizer": FUSED, "sharding": KINDS[name] | {"world_size": world},
    }  # fmt: skip
    return run(CONFIG, **(keys | changes))


def states(answer: Estimate) -> int:
    """Return the bytes of optimizer states, master weights among them, step counters aside."""
    return sum(
        term.bytes for term in answer.ledger.terms if term.group == "optimizer" and term.name != "step"
    )


def at_step(answer: Estimate, name: str) -> int:
    """Return a term's bytes in the optimizer's step, 0 if it does not live there."""
    return sum(
        term.bytes for term in answer.ledger.terms if term.name == name and "optimizer_step" in term.phases
    )


@pytest.mark.parametrize("world", [1, 2, 8])
@pytest.mark.parametrize("stage", [1, 2, 3])
def test_zero_in_closed_form(stage: int, world: int) -> None:
    """DeepSpeed in bf16: 2 B weights, 2 B gradients, 12 B of states and master copy; stage by stage divided.

    Stage 1 divides the states, 2 the gradients too, 3 the weights too. The step copies this GPU's gradients
    to fp32: 4 B more of its part.
    """
    answer = sharded(f"zero{stage}", world)
    assert N == answer.parameters
    slack = 20 * len(answer.ledger.terms)  # parts are rounded up, tensor by tensor
    assert 12 * N // world == pytest.approx(states(answer), abs=slack)
    assert 2 * N // (world if stage == 3 else 1) == pytest.approx(term_bytes(answer, "weights"), abs=slack)
    assert 4 * N // world == pytest.approx(at_step(answer, "optimizer step temporaries"), abs=slack)
    steady = answer.phases["optimizer_step"]
    gradients = 2 * N // (world if stage >= 2 else 1)
    bucket = term_bytes(answer, "communication buffers")
    expected = bucket + term_bytes(answer, "weights") + states(answer) + gradients + 4 * N // world
    assert expected == pytest.approx(steady.peak, rel=0.01)


def test_on_one_gpu_zero_costs_more_than_no_engine() -> None:
    """18 and 4 B per parameter instead of 16: the master copy and the fp32 copies of the gradients."""
    zero, plain = sharded("zero2", 1), run(CONFIG, micro_batch_size=1, sequence_length=64, optimizer=FUSED)
    bucket = term_bytes(zero, "communication buffers")
    assert plain.phases["optimizer_step"].peak < zero.phases["optimizer_step"].peak - bucket


@pytest.mark.parametrize("world", [1, 2, 8])
def test_fsdp_in_closed_form(world: int) -> None:
    """Weights are kept in the type they were loaded in: 4 + 4 + 8 B per parameter by the number of GPUs."""
    answer = sharded("fsdp", world, param_dtype="float32")
    slack = 20 * len(answer.ledger.terms)
    assert 8 * N // world == pytest.approx(states(answer), abs=slack)
    assert 4 * N // world == pytest.approx(term_bytes(answer, "weights"), abs=slack)
    assert 16 * N // world == pytest.approx(answer.phases["optimizer_step"].peak, rel=0.03)
    assert 12 * N // world == pytest.approx(answer.phases["optimizer_step"].end, rel=0.03)


def test_accelerate_keeps_trained_weights_in_fp32() -> None:
    """A bf16 model under mixed precision is cast up by accelerate's FSDP, and not by a plain one."""
    plain, through = (
        sharded("fsdp", 4, param_dtype="bfloat16", framework=framework)
        for framework in ("torch", "transformers")
    )
    assert 2 * term_bytes(plain, "weights") == pytest.approx(term_bytes(through, "weights"), abs=100)
    assert 2 * states(plain) == pytest.approx(states(through), abs=500)


@pytest.mark.parametrize("name", sorted(KINDS))
def test_more_gpus_never_raise_what_one_of_them_keeps(name: str) -> None:
    """Invariant 5: states, and everything that is left after a step, fall or stay with the number of GPUs."""
    answers = [sharded(name, world) for world in (1, 2, 3, 4, 8, 16, 64)]
    for figures in (
        [states(answer) for answer in answers],
        [answer.phases["optimizer_step"].end for answer in answers],
        [term_bytes(answer, "weights") for answer in answers],
        [answer.allocated.expected for answer in answers],
    ):
        assert sorted(figures, reverse=True) == figures


@pytest.mark.parametrize(
    ("name", "layers"), [("fsdp", 2), ("fsdp2", 2), ("zero3", 2), ("shard-grad-op", L + 1)]
)
def test_gathered_weights(name: str, layers: int) -> None:
    """Whole are the root (embedding, head, last norm), the layer at work and the one that is gathered ahead.

    Where weights stay whole after forward (shard-grad-op, ZeRO-2's way) all layers are.
    """
    answer = sharded(name, 8, model={"config": CONFIG | {"vocab_size": 64}})
    root = 2 * 64 * D + D
    assert "backward" == answer.phase
    assert 2 * (root + layers * LAYER) == term_bytes(answer, "gathered weights")


def test_offloading_leaves_the_gpu_without_states() -> None:
    """Optimizer states and master weights live in host memory, and the step happens there."""
    kept = sharded("zero2", 2)
    moved = sharded("zero2", 2, sharding={"kind": "zero2", "world_size": 2, "offload_optimizer": "cpu"})
    assert 0 == states(moved)
    assert states(kept) <= kept.phases["optimizer_step"].end - moved.phases["optimizer_step"].end
    assert 0 == at_step(moved, "optimizer step temporaries")


def test_ddp_keeps_a_second_copy_of_the_gradients() -> None:
    """gradient_as_bucket_view=False: flat buckets of all gradients beside the gradients."""
    plain = {"micro_batch_size": 1, "sequence_length": 64, "optimizer": FUSED}
    alone, beside = run(CONFIG, **plain), run(CONFIG, **plain, sharding={"kind": "ddp", "world_size": 4})
    assert 4 * N == term_bytes(beside, "DDP gradient buckets")
    assert 4 * N == pytest.approx(beside.allocated.expected - alone.allocated.expected, rel=0.01)


@pytest.mark.parametrize("sharding", [None, {"kind": "none"}, {"kind": "none", "world_size": 1}])
def test_an_unsharded_plan_has_three_spellings(sharding: dict[str, Any] | None) -> None:
    """Null and kind none mean the same."""
    assert run() == run(sharding=sharding)


def test_no_shard_is_a_whole_model() -> None:
    """FSDP's NO_SHARD keeps everything on every GPU."""
    assert 4 * N == term_bytes(
        run(CONFIG, sharding={"kind": "fsdp", "strategy": "no-shard", "world_size": 8}), "weights"
    )


def test_model_parallel_layouts_are_refused_by_name() -> None:
    """What is not walked gives a reason and no figure."""
    with pytest.raises(CannotEstimate, match="tensor_parallel is not walked yet"):
        run(sharding={"kind": "fsdp", "world_size": 8, "tensor_parallel": 2})
    assert plan(sharding={"kind": "fsdp"}).sharding is not None
