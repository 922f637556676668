"""Generation: weights, the prompt's pass, and a key-value cache that grows."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from tests.memory.plans import GPT2, LLAMA, run, term_bytes

if TYPE_CHECKING:
    from vramlint.memory.estimate import Estimate

L, K, H, V, D, F = 5, 2, 24, 1000, 96, 200
NUMBERS = 665_376


def generate(config: dict[str, Any] = LLAMA, **changes: Any) -> Estimate:
    """Return the memory of generation in bf16: a prompt of 256, 64 new tokens, 4 rows."""
    sizes = {"prompt_length": 256, "new_tokens": 64, "batch": 4} | changes.pop("generation", {})
    keys: dict[str, Any] = {
        "mode": "inference",
        "param_dtype": "bfloat16",
        "optimizer": None,
        "generation": sizes,
    }
    return run(config, **(keys | changes))


def cache(batch: int, tokens: int, item: int = 2) -> int:
    """Return the bytes of keys and values: 2·L·B·T·K·H numbers."""
    return 2 * L * batch * tokens * K * H * item


def test_generation_has_its_own_phases() -> None:
    """Loading, prefill, decoding; no backward and no optimizer, even if a plan names one."""
    answer = generate(optimizer={"name": "torch.optim.AdamW"})
    assert ["load", "prefill", "decode"] == list(answer.phases)
    assert {"weights", "activations", "inputs", "loss", "runtime"} >= {
        term.group for term in answer.ledger.terms
    }
    assert 2 * NUMBERS == term_bytes(answer, "weights")


def test_the_cache_in_closed_form() -> None:
    """2 · layers · rows · tokens · key heads · head size · bytes, and a layer's old and new form at once."""
    answer = generate(generation={"new_tokens": 1024, "prompt_length": 8})
    peak = answer.phases["decode"].peak - answer.phases["load"].end
    longest, oldest = cache(4, 1032), cache(4, 8)
    assert longest <= peak <= longest + oldest


def test_grouped_heads_shrink_the_cache() -> None:
    """Six key heads instead of two: three times the cache."""
    figures = []
    for groups in (2, 6):
        answer = generate(LLAMA | {"num_key_value_heads": groups}, generation={"new_tokens": 2048})
        figures.append(answer.phases["decode"].peak - answer.phases["load"].end)
    assert 3 == pytest.approx(figures[1] / figures[0], rel=0.05)


def test_prefill_makes_logits_of_the_last_token() -> None:
    """Transformers keeps one row of V per sequence (logits_to_keep): a large vocabulary costs next to nothing."""
    small, large = (generate(LLAMA | {"vocab_size": size}) for size in (1000, 33_000))
    weights = 2 * 2 * 32_000 * D
    assert large.phases["prefill"].peak - small.phases["prefill"].peak - weights <= 4 * 32_000 * 4 + 4096


def test_prefill_keeps_no_activations() -> None:
    """Twice the layers: twice the weights and the cache, and the same activations."""
    short, tall = generate(), generate(LLAMA | {"num_hidden_layers": 2 * L})
    per_layer = [
        answer.phases["prefill"].peak - answer.phases["load"].end - 2 * layers * 4 * 256 * K * H * 2
        for answer, layers in ((short, L), (tall, 2 * L))
    ]
    assert per_layer[0] == per_layer[1]


def test_fp32_weights_have_an_fp32_cache() -> None:
    """Keys have the type that the model computes in."""
    answer = generate(param_dtype="float32", generation={"new_tokens": 2048})
    assert cache(4, 2304, item=4) <= answer.phases["decode"].peak - answer.phases["load"].end


@pytest.mark.parametrize("key", ["prompt_length", "new_tokens", "batch"])
@pytest.mark.parametrize("config", [LLAMA, GPT2], ids=["llama", "gpt2"])
def test_more_never_needs_less(key: str, config: dict[str, Any]) -> None:
    """Longer prompts, more tokens, more rows."""
    peaks = [generate(config, generation={key: size}).allocated.expected for size in (1, 2, 16, 64, 128)]
    assert sorted(peaks) == peaks


def test_without_a_generation_the_batch_goes_through_once() -> None:
    """Plain inference over the plan's batch and length."""
    answer = run(mode="inference", param_dtype="bfloat16", optimizer=None)
    assert cache(3, 41) <= answer.phases["decode"].peak - answer.phases["load"].end <= 2 * cache(3, 41)


def test_quantized_weights_generate() -> None:
    """NF4 weights are restored one layer at a time."""
    whole, packed = generate(), generate(quantization={"kind": "nf4"})
    assert packed.phases["load"].end < 0.7 * whole.phases["load"].end
    assert packed.phases["decode"].peak < whole.phases["decode"].peak
