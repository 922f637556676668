"""Models that the catalogue lacks bring their config from this machine."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from vramlint.pipeline import analyze
from vramlint.plan.hub import config_of, with_plan_config
from vramlint.plan.read import read_plan
from vramlint.source.filesystem import FileSystem
from vramlint.source.model_configs import candidates, fetched_path
from vramlint.source.neighbours import InMemory
from vramlint.source.read import document

if TYPE_CHECKING:
    from pathlib import Path

TINY = {
    "model_type": "llama",
    "hidden_size": 256,
    "intermediate_size": 512,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "vocab_size": 1000,
    "max_position_embeddings": 512,
}
# 2·V·D for the embedding and the head, then per layer 4·D² + 3·D·F + 2·D, and the final norm's D.
PARAMETERS = 2 * 1000 * 256 + 2 * (4 * 256**2 + 3 * 256 * 512 + 2 * 256) + 256

SCRIPT = """
import torch
from transformers import AutoModelForCausalLM, Trainer, TrainingArguments
model = AutoModelForCausalLM.from_pretrained("./my-model", dtype=torch.float32)
Trainer(model=model, args=TrainingArguments("out", per_device_train_batch_size=1)).train()
"""


def test_a_folder_beside_the_script_is_read() -> None:
    """The config of `./my-model` stands in the script's folder."""
    read, issues = document("src/train.py", SCRIPT)
    neighbours = InMemory({"hub:src/./my-model": json.dumps(TINY)})
    (run,) = analyze(read, neighbours=neighbours, issues=issues).runs
    assert run.estimate is not None
    assert PARAMETERS == run.estimate.parameters
    assert "hub" == run.run.settings["model"].origin.kind  # type: ignore[union-attr]


def test_without_a_config_the_reason_names_the_way_out() -> None:
    """Nothing is guessed for an unknown id."""
    script = SCRIPT.replace("./my-model", "nobody/knows-this")
    read, _ = document("train.py", f"# vramlint: set sequence_length=128\n{script}")
    (run,) = analyze(read).runs
    assert run.estimate is None
    assert "vramlint fetch nobody/knows-this" in str(run.why_not)


def test_a_plan_takes_the_config_too() -> None:
    """`vramlint estimate` looks in the same places."""
    plan = with_plan_config(read_plan({"model": "me/mine"}), InMemory({"hub:me/mine": json.dumps(TINY)}))
    assert TINY == plan.model.config


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"model_type": 3}', "{" * 5000])
def test_what_is_no_config_is_left_alone(content: str) -> None:
    """A file that happens to lie there is no config."""
    assert config_of("me/mine", InMemory({"hub:me/mine": content})) is None


def test_caches_are_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What `fetch` kept comes before what transformers downloaded."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hf"))
    repository = tmp_path / "hf" / "hub" / "models--me--mine"
    snapshot = repository / "snapshots" / "abc123"
    snapshot.mkdir(parents=True)
    (repository / "refs").mkdir()
    (repository / "refs" / "main").write_text("abc123")
    (snapshot / "config.json").write_text(json.dumps(TINY))
    assert TINY == config_of("me/mine", FileSystem())
    kept = fetched_path("me/mine")
    kept.parent.mkdir(parents=True)
    kept.write_text(json.dumps({**TINY, "hidden_size": 128}))
    found = config_of("me/mine", FileSystem())
    assert found is not None
    assert 128 == found["hidden_size"]


def test_a_strange_id_leads_nowhere() -> None:
    """An id with a NUL cannot be a path."""
    assert [] == list(candidates("a\0b"))
