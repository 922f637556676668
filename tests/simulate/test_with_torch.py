"""The simulator against training steps that were recorded, and what the command prints of a run."""

from __future__ import annotations

import json
import subprocess
import sys
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

import pytest

from benchmarks.accuracy.rows import Row, training_steps
from benchmarks.accuracy.simulated import simulated

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.skipif(
    find_spec("torch") is None or find_spec("transformers") is None,
    reason="torch and transformers are not installed (extra `simulate`)",
)

# Small rows, one for each family and regime that torch treats in its own way.
ROWS = (
    "r11-1-roberta-masked-lm",
    "r11-5-gpt_neox-causal-lm",
    "r11-6-qwen2-causal-lm",
    "r11-8-bart-seq2seq-lm",
    "r11-9-gemma-causal-lm",
    "r11-13-deberta-v2-masked-lm",
    "r11-14-phi3-causal-lm",
    "mixtral-fp32-b2-s512",
    "whisper-speech-fp32-b4-s100",
    "deit-b8-fp32",
)
PLAN: dict[str, Any] = {
    "model": {"config": {"model_type": "llama", "hidden_size": 256, "intermediate_size": 512, "vocab_size": 1000,
                         "num_hidden_layers": 2, "num_attention_heads": 4, "num_key_value_heads": 2}},
    "param_dtype": "float32", "mixed_precision": "bf16", "micro_batch_size": 2, "sequence_length": 64,
}  # fmt: skip


@pytest.fixture(scope="module")
def rows() -> dict[str, tuple[Row, Row]]:
    """Return each row as it was recorded and as it is simulated."""
    recorded = [row for row in training_steps() if row.id in ROWS]
    again = simulated((row.id, row.family, row.plan) for row in recorded)
    return {old.id: (old, new) for old, new in zip(recorded, again, strict=True) if isinstance(new, Row)}


@pytest.mark.parametrize("name", ROWS)
def test_a_recorded_step_is_met(rows: dict[str, tuple[Row, Row]], name: str) -> None:
    """The peak and every phase lie within 0.1 % of what was recorded."""
    recorded, again = rows[name]
    assert {figure: pytest.approx(size, rel=1e-3) for figure, size in recorded.truth.items()} == again.truth


def simulate(path: Path, plan: dict[str, Any], *options: str) -> subprocess.CompletedProcess[str]:
    """Run the command on a plan."""
    path.write_text(json.dumps(plan))
    return subprocess.run(
        [sys.executable, "-m", "vramlint", "simulate", str(path), *options],
        capture_output=True,
        text=True,
        check=False,
    )


def test_groups_add_up_and_name_their_lines(tmp_path: Path) -> None:
    """The groups at the peak add up to it, and saved tensors know the line of transformers that made them."""
    done = simulate(tmp_path / "plan.json", PLAN, "--format", "json")
    assert ("", 0) == (done.stderr, done.returncode)
    memory = json.loads(done.stdout)["runs"][0]["simulation"]["memory"]
    assert memory["allocated"] == sum(memory["groups"].values()) == memory["phases"][memory["phase"]]["peak"]
    lines = {tensors["line"] for tensors in memory["tensors"]}
    assert any(line.startswith("transformers/") for line in lines)


def test_an_encoder_decoder_whose_config_names_no_first_token(tmp_path: Path) -> None:
    """Labels are shifted behind any token: which one it is changes no size."""
    plan = {"model": {"id": "google-t5/t5-small"}, "micro_batch_size": 2, "sequence_length": 64}
    done = simulate(tmp_path / "plan.json", plan, "--format", "json")
    assert ("", 0) == (done.stderr, done.returncode)
    assert json.loads(done.stdout)["runs"][0]["simulation"]["memory"]["allocated"] > 0


def test_the_estimate_stands_beside_it(tmp_path: Path) -> None:
    """Every group and phase has the estimate's figure beside the simulated one, and their difference."""
    done = simulate(tmp_path / "plan.json", PLAN, "--format", "json")
    differences = json.loads(done.stdout)["runs"][0]["simulation"]["differences"]
    for row in (*differences["groups"], *differences["phases"]):
        assert row["difference"] == row["estimated"] - row["simulated"]
    assert {"weights", "optimizer"} <= {row["name"] for row in differences["groups"]}


def test_a_gpu_runs_one_kernel_where_the_reference_runs_several(tmp_path: Path) -> None:
    """With a GPU named, SiLU's backward is one kernel, and the backward phase needs less."""
    wide = PLAN | {"model": {"config": PLAN["model"]["config"] | {"intermediate_size": 8192}}}
    peaks = []
    for options in ((), ("--gpu", "A100 80GB")):
        done = simulate(tmp_path / "plan.json", wide, "--format", "json", *options)
        memory = json.loads(done.stdout)["runs"][0]["simulation"]["memory"]
        peaks.append(memory["phases"]["backward"]["peak"])
    assert peaks[1] < peaks[0]


def test_text_and_timeline(tmp_path: Path) -> None:
    """The page says the peak and where it is, and the timeline is written beside it."""
    done = simulate(tmp_path / "plan.json", PLAN, "--timeline", str(tmp_path / "t.html"))
    assert ("", 0) == (done.stderr, done.returncode)
    assert "allocated at the peak" in done.stdout
    assert (tmp_path / "t.html").read_text(encoding="utf-8").startswith("<!doctype html>")


def test_an_optimizer_with_its_own_kernels_is_refused(tmp_path: Path) -> None:
    """The kernels of bitsandbytes look at addresses: the refusal names it, and the exit status is 2."""
    done = simulate(tmp_path / "plan.json", PLAN | {"optimizer": {"name": "adamw_bnb_8bit"}})
    assert 2 == done.returncode
    assert "bitsandbytes" in done.stderr
    assert 1 == done.stderr.count("\n")


def test_an_unknown_model_type_is_refused(tmp_path: Path) -> None:
    """A model that transformers does not have is named, and no code of a repository runs."""
    done = simulate(tmp_path / "plan.json", PLAN | {"model": {"config": {"model_type": "no_such_model"}}})
    assert 2 == done.returncode
    assert "no_such_model" in done.stderr
