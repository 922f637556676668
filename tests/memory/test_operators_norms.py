"""What normalization, softmax and the cross-entropy save."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from tests.memory.tapes import Bench

from vramlint.memory.dtypes import FLOAT32, INT64
from vramlint.memory.families.layers import causal_lm_loss
from vramlint.memory.operators.matmul import linear
from vramlint.memory.operators.normalization import layer_norm, rms_norm
from vramlint.memory.operators.softmax import cross_entropy, softmax

if TYPE_CHECKING:
    from vramlint.memory.tape import Tensor

FULL = (4, 8, 16)


@pytest.mark.parametrize(
    ("regime", "result", "expected"),
    [
        ("fp32", "float32", ["float32 (4, 8, 16)", "float32 (4, 8, 1)", "weight", "x"]),
        ("half", "bfloat16", ["bfloat16 (4, 8, 16)", "float32 (4, 8, 16)", "float32 (4, 8, 1)", "weight"]),
        ("autocast", "float32", ["float32 (4, 8, 16)", "float32 (4, 8, 1)", "weight", "x"]),
    ],
)
def test_rms_norm(regime: str, result: str, expected: list[str]) -> None:
    """Llama's norm in five operators: x in fp32, 1/rms, and what the weight is multiplied with.

    derivatives.yaml: pow saves self, rsqrt its result, mul each factor for the other. In half precision the
    fp32 copy of x and the half copy of the normalised x are new: 4 + 2 B per element, and 4 B per row.
    """
    bench = Bench.of(regime)
    out = bench.run(rms_norm, bench.wanting("x", *FULL), bench.weight("weight", 16))
    assert result == out.dtype.name
    assert sorted(expected) == bench.saved(out)


def test_rms_norm_with_a_frozen_weight() -> None:
    """Without the weight's gradient the normalised copy is not saved: 2 B per element less in half."""
    bench = Bench.of("half")
    out = bench.run(rms_norm, bench.wanting("x", *FULL), bench.weight("weight", 16, trainable=False))
    assert ["float32 (4, 8, 1)", "float32 (4, 8, 16)", "weight"] == bench.saved(out)


@pytest.mark.parametrize("regime", ["fp32", "half", "autocast"])
def test_layer_norm(regime: str) -> None:
    """native_layer_norm saves x, and mean and reciprocal deviation of each row, in fp32 whatever x is."""
    bench = Bench.of(regime)
    x, weight, bias = bench.wanting("x", *FULL), bench.weight("weight", 16), bench.weight("bias", 16)
    assert ["float32 (4, 8)", "float32 (4, 8)", "x"] == bench.saved(bench.run(layer_norm, x, weight, bias))


def test_layer_norm_of_half_under_autocast() -> None:
    """Layer norm is on autocast's fp32 list: a half input is copied, and the copy is saved."""
    bench = Bench.of("half")
    x, weight, bias = bench.wanting("x", *FULL), bench.weight("weight", 16), bench.weight("bias", 16)
    bench.autocast = bench.dtype
    out = bench.run(layer_norm, x, weight, bias)
    assert FLOAT32 is out.dtype
    assert ["float32 (4, 8)", "float32 (4, 8)", "float32 (4, 8, 16)"] == bench.saved(out)


@pytest.mark.parametrize(
    ("regime", "dtype"), [("fp32", "float32"), ("half", "bfloat16"), ("autocast", "float32")]
)
def test_softmax_saves_its_result(regime: str, dtype: str) -> None:
    """_softmax: `self: _softmax_backward_data(grad, result, …)`."""
    bench = Bench.of(regime)
    out = bench.run(softmax, bench.wanting("x", *FULL))
    assert dtype == out.dtype.name
    assert ["out"] == bench.saved(out)


def test_softmax_of_half_in_fp32_makes_no_copy_of_its_input() -> None:
    """`softmax(x, dtype=torch.float32)` runs half_to_float on CUDA: only the fp32 result is new."""
    bench = Bench.of("half")
    out = bench.run(softmax, bench.wanting("x", *FULL), FLOAT32)
    assert FLOAT32 is out.dtype
    assert ["out"] == bench.saved(out)


@pytest.mark.parametrize(
    ("regime", "dtype"), [("fp32", "float32"), ("half", "bfloat16"), ("autocast", "float32")]
)
def test_cross_entropy(regime: str, dtype: str) -> None:
    """log_softmax saves its result, nll_loss the same tensor, the targets and a total weight.

    For 32 rows and V = 100 that is one tensor of 32·100 elements; backward makes two more of them, the
    gradient of nll_loss and that of log_softmax.
    """
    bench = Bench.of(regime)
    logits, targets = bench.wanting("logits", 32, 100), bench.tensor("targets", 32, dtype=INT64)
    out = bench.run(cross_entropy, logits, targets)
    assert ["targets", f"{dtype} ()", f"{dtype} (32, 100)"] == sorted(bench.saved(out), key=len)


@pytest.mark.parametrize(
    ("regime", "forward", "backward"), [("fp32", 4 + 4, 12), ("half", 2 + 4 + 4, 12), ("autocast", 10, 12)]
)
def test_bytes_per_logit_of_a_causal_language_model(regime: str, forward: int, backward: int) -> None:
    """Forward holds logits and log-softmax, in half an fp32 copy of the logits too; backward 12 B a logit.

    ForCausalLMLoss of transformers computes in fp32: saved log-softmax 4, gradient of nll_loss 4, of
    log_softmax 4. Runs of it were counted at 8 and 12 B in fp32, at 10 and 12 in half precision.
    """
    rows, vocabulary = 64, 50_000
    bench = Bench.of(regime)
    arena = bench.tape.arena
    hidden, head = bench.wanting("hidden", 1, rows, 8), bench.weight("head", vocabulary, 8)
    arena.enter("forward", 1)
    loss = bench.run(_loss_of, hidden, head)
    arena.enter("backward", 1)
    bench.tape.backward(loss, bench.tape.empty((), loss.dtype))
    arena.leave()
    peaks = [arena.phases["forward"].peak.bytes, arena.phases["backward"].peak.bytes]
    small = 3 * 8 * 4 * vocabulary  # the head, its copy and its gradient
    assert [forward, backward] == [peak // (rows * vocabulary) for peak in peaks]
    assert all(peak % (rows * vocabulary) < small for peak in peaks)


def _loss_of(hidden: Tensor, head: Tensor) -> Tensor:
    logits = linear(hidden, head)  # the model's variable lives until forward returns
    return causal_lm_loss(logits)
