"""The largest amount that fits: one more does not, whatever the search has tried."""

from __future__ import annotations

import pytest

from vramlint.knowledge import gpus
from vramlint.memory.engine import sketch
from vramlint.memory.largest import GRAIN, Amount, largest_that_fits, with_amount
from vramlint.plan.document import Plan

GPU = gpus.find("RTX 4090")
PLAN = Plan.model_validate(
    {
        "model": {"id": "gpt2"},
        "micro_batch_size": 8,
        "sequence_length": 512,
        "optimizer": "torch.optim.AdamW",
        "param_dtype": "float32",
    }
)


@pytest.mark.parametrize("name", ["micro_batch_size", "sequence_length"])
def test_one_more_does_not_fit(name: Amount) -> None:
    """The answer fits at the high end of its device memory, the next step does not."""
    largest = largest_that_fits(PLAN, name, GPU)
    assert largest is not None
    assert largest % GRAIN[name] == 0
    assert sketch(with_amount(PLAN, name, largest), GPU).device.high <= GPU.bytes
    assert sketch(with_amount(PLAN, name, largest + GRAIN[name]), GPU).device.high > GPU.bytes


def test_what_is_kept_free_counts() -> None:
    """With memory to keep free, less fits; where nothing fits, the answer is none at all."""
    whole = largest_that_fits(PLAN, "micro_batch_size", GPU)
    half = largest_that_fits(PLAN, "micro_batch_size", GPU, reserve=GPU.bytes // 2)
    assert whole is not None
    assert half is not None
    assert 0 < half < whole
    assert 0 == largest_that_fits(PLAN, "micro_batch_size", GPU, reserve=GPU.bytes - 10**9)


def test_a_model_that_cannot_be_walked() -> None:
    """Where the engine cannot say, neither can the search."""
    plan = PLAN.model_copy(update={"loss": "of-my-own"})
    assert largest_that_fits(plan, "micro_batch_size", GPU) is None


def test_the_search_can_be_stopped() -> None:
    """What is called before each estimate may end the search."""

    def stop() -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        largest_that_fits(PLAN, "micro_batch_size", GPU, 0, stop)
