"""Every key of a plan changes the figure, is refused with a reason, or is noted; none is passed over in silence."""

from __future__ import annotations

from typing import Any

import pytest

from vramlint.memory.engine import CannotEstimate, estimate
from vramlint.plan.read import read_plan

TINY = {
    "model": {
        "config": {
            "model_type": "llama",
            "hidden_size": 64,
            "num_hidden_layers": 2,
            "num_attention_heads": 4,
            "intermediate_size": 128,
            "vocab_size": 100,
        }
    },
    "micro_batch_size": 2,
    "sequence_length": 16,
}
TWO = {"world_size": 2}


@pytest.mark.parametrize(
    ("reason", "keys"),
    [
        ("inside of it", {"optimizer": "lomo", "sharding": {"kind": "zero2", "world_size": 2}}),
        ("tensor_parallel", {"sharding": {"kind": "none", "tensor_parallel": 2, **TWO}}),
        ("pipeline_parallel", {"sharding": {"kind": "ddp", "pipeline_parallel": 2, **TWO}}),
        ("needs ZeRO or FSDP", {"sharding": {"kind": "ddp", "offload_optimizer": "cpu", **TWO}}),
        ("several machines", {"sharding": {"kind": "fsdp", "strategy": "hybrid", "world_size": 16}}),
        ("sharded weights", {"mode": "inference", "sharding": {"kind": "fsdp", **TWO}}),
        ("vLLM", {"mode": "inference", "generation": {"engine": "vllm"}}),
        ("no parameter is trained: all match '.*'", {"frozen": [".*"]}),
        ("there are no adapters", {"quantization": "nf4", "frozen": ["embed", "norm", "lm_head"]}),
    ],
)
def test_what_is_not_walked_is_refused(reason: str, keys: dict[str, Any]) -> None:
    """A figure of another run would be a wrong figure."""
    with pytest.raises(CannotEstimate, match=reason):
        estimate(read_plan(TINY | keys))


@pytest.mark.parametrize(
    ("note", "keys"),
    [
        ("'transfomers' is not known", {"framework": "transfomers"}),
        ("generated between the training steps", {"generation": {"new_tokens": 8}}),
        ("the teacher model is on cuda:1", {"extra_models": [{"role": "teacher", "device": "cuda:1"}]}),
    ],
)
def test_what_is_left_out_is_noted(note: str, keys: dict[str, Any]) -> None:
    """The figure holds, and says what it lacks."""
    found = estimate(read_plan(TINY | keys))
    assert any(note in said for said in found.assumptions)
    assert estimate(read_plan(TINY)).allocated == found.allocated


@pytest.mark.parametrize("mode", ["train", "inference"])
def test_a_further_model_on_the_first_gpu_counts(mode: str) -> None:
    """`cuda:0` is the GPU itself, in training and in inference."""
    alone = estimate(read_plan(TINY | {"mode": mode}))
    other = estimate(
        read_plan(TINY | {"mode": mode, "extra_models": [{"role": "teacher", "device": "cuda:0"}]})
    )
    assert other.phases["load"].end - alone.phases["load"].end == alone.phases["load"].end


@pytest.mark.parametrize(
    "wrong",
    [
        {"hidden_size": "wide"},
        {"num_attention_heads": 0},
        {"num_hidden_layers": -1},
        {"vocab_size": [100]},
        {"hidden_act": 5},
    ],
)
def test_a_config_that_makes_no_model_is_refused(wrong: dict[str, Any]) -> None:
    """What a person writes into a plan's config is data: one line, and no failure of the tool."""
    model = {"config": {**TINY["model"]["config"], **wrong}}  # type: ignore[index]
    with pytest.raises(CannotEstimate, match="config"):
        estimate(read_plan(TINY | {"model": model}))


@pytest.mark.parametrize("model", ["google/vit-base-patch16-224", "facebook/dinov2-base"])
def test_larger_images_have_more_patches(model: str) -> None:
    """Four times the pixels are four times the patches, whatever size the checkpoint was made for."""
    small, large = (
        estimate(read_plan({"model": model, "image_size": side, "micro_batch_size": 16}))
        for side in (224, 448)
    )
    states = small.phases["load"].end * 4
    assert 2.5 * (small.allocated.expected - states) < large.allocated.expected - states
