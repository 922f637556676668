"""A head that PEFT saves whole is the one that a fused loss reads."""

from __future__ import annotations

from vramlint.memory.engine import estimate
from vramlint.plan.defaults import complete
from vramlint.plan.read import read_plan


def test_a_fused_loss_reads_the_saved_copy_of_the_head() -> None:
    """`modules_to_save=["lm_head"]` under a loss in chunks costs the copy, its gradient and its states."""
    plan = {
        "model": {"id": "Qwen/Qwen2.5-0.5B"},
        "task": "causal-lm",
        "framework": "trl",
        "loss": "chunked",
        "micro_batch_size": 1,
        "sequence_length": 256,
        "optimizer": "adamw_torch",
        "lora": {"r": 8, "target_modules": ["q_proj"]},
    }
    saving = {**plan, "lora": {"r": 8, "target_modules": ["q_proj"], "modules_to_save": ["lm_head"]}}
    without, with_head = (estimate(complete(read_plan(one))[0], None) for one in (plan, saving))
    head = 151_936 * 896  # vocabulary × width of Qwen2.5-0.5B
    assert with_head.allocated.expected - without.allocated.expected > 3 * head * 2
