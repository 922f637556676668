"""A plan document is estimated as it stands, and a slip in it gets one line."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path
    from subprocess import CompletedProcess

    Cli = Callable[..., CompletedProcess[str]]

GIB = 2**30
GPT2: dict[str, Any] = {
    "model": {"id": "gpt2"},
    "param_dtype": "float32",
    "micro_batch_size": 2,
    "sequence_length": 128,
    "optimizer": {"name": "torch.optim.AdamW"},
}


def run_of(done: CompletedProcess[str]) -> Any:
    """Return what a successful command printed."""
    assert ("", 0) == (done.stderr, done.returncode)
    return json.loads(done.stdout)


def test_the_phi3_dpo_plan_peaks_at_the_optimizer_step(cli: Cli, examples: Path) -> None:
    """85.4 GiB, not the 50 to 63 GB of the textbook: six fp32 copies, one of them a temporary of the step."""
    run = run_of(cli("estimate", str(examples / "phi3_dpo_plan.json"), "--format", "json"))
    memory = run["memory"]
    assert "optimizer_step" == memory["phase"]
    assert 85.4 == pytest.approx(memory["allocated"] / GIB, abs=0.1)
    copies = [term["bytes"] for term in memory["terms"] if term["at_peak"] and term["bytes"] > 10**9]
    assert [15_284_318_208] * 6 == copies


def test_one_plan_is_an_object(cli: Cli) -> None:
    """The run, with a setting for every key; what was left out has a default's origin."""
    run = run_of(cli("estimate", "-", "--format", "json", stdin=json.dumps(GPT2)))
    assert ("train", ["torch"], None) == (run["kind"], run["frameworks"], run["reason"])
    assert "plan" == run["settings"]["micro_batch_size"]["origin"]["kind"]
    assert run["settings"]["attention"]["origin"]["kind"] in {"framework-default", "assumed"}
    assert {"status": "known", "value": None}.items() <= run["settings"]["sharding"].items()
    assert run["memory"]["allocated"] > 4 * 4 * 124_000_000


@pytest.mark.parametrize("nothing", [{"sharding": None}, {"sharding": {"kind": "none", "world_size": 1}}])
def test_no_sharding_has_two_spellings(cli: Cli, nothing: dict[str, Any]) -> None:
    """In settings both are null."""
    run = run_of(cli("estimate", "-", "--format", "json", stdin=json.dumps(GPT2 | nothing)))
    assert None is run["settings"]["sharding"]["value"]


def test_a_list_of_plans_is_a_list(cli: Cli, tmp_path: Path) -> None:
    """A JSON list, even of one, and several files give a list."""
    (tmp_path / "a.json").write_text(json.dumps(GPT2))
    (tmp_path / "b.json").write_text(json.dumps([GPT2]))
    assert 1 == len(run_of(cli("estimate", "b.json", "--format", "json")))
    assert 2 == len(run_of(cli("estimate", "a.json", "b.json", "--format", "json")))


def test_a_model_and_options_are_a_plan(cli: Cli) -> None:
    """The common keys have options of their own, all others go through --set."""
    run = run_of(
        cli(
            "estimate", "--model", "gpt2", "--batch", "2", "--seq", "128", "--dtype", "float32",
            "--optimizer", "torch.optim.SGD", "--set", "optimizer.momentum=0.9", "--format", "json",
        )
    )  # fmt: skip
    settings = {name: setting["value"] for name, setting in run["settings"].items()}
    assert (2, 128, "float32") == (
        settings["micro_batch_size"],
        settings["sequence_length"],
        settings["param_dtype"],
    )
    assert {"name": "torch.optim.SGD", "momentum": 0.9}.items() <= settings["optimizer"].items()
    assert "override" == run["settings"]["micro_batch_size"]["origin"]["kind"]


def test_an_unknown_optimizer_gives_a_wide_range_and_a_finding(cli: Cli) -> None:
    """Nobody knows what it keeps: that is no error."""
    plan = GPT2 | {"optimizer": {"name": "my_lab.SuperAdam"}}
    run = run_of(cli("estimate", "-", "--format", "json", stdin=json.dumps(plan)))
    low, high = run["memory"]["range"]["allocated"]
    assert high > 1.5 * low
    assert ["unknown-optimizer"] == [finding["rule"] for finding in run["findings"]]


def test_the_timeline_on_request(cli: Cli) -> None:
    """Moments in their order; the largest is the peak."""
    run = run_of(cli("estimate", "-", "--format", "json", "--timeline", stdin=json.dumps(GPT2)))
    moments = run["memory"]["timeline"]
    assert sorted(moment["t"] for moment in moments) == [moment["t"] for moment in moments]
    assert run["memory"]["allocated"] == max(moment["bytes"] for moment in moments)


def test_a_person_gets_a_page(cli: Cli) -> None:
    """The same in text."""
    said = cli("estimate", "-", "--gpu", "RTX 4090", stdin=json.dumps(GPT2)).stdout
    assert "Fits the RTX 4090" in said
    assert "exp_avg_sq" in said


def test_a_config_with_more_layers_than_any_model(cli: Cli) -> None:
    """It is refused with a reason, at once."""
    plan = {"model": {"config": {"model_type": "llama", "num_hidden_layers": 10**12}}}
    said = cli("estimate", "-", stdin=json.dumps(plan)).stdout
    assert "num_hidden_layers is 1,000,000,000,000" in said


def test_a_plan_may_begin_with_a_byte_order_mark(cli: Cli, tmp_path: Path) -> None:
    """Some editors write one."""
    path = tmp_path / "plan.json"
    path.write_text(json.dumps(GPT2), encoding="utf-8-sig")
    assert cli("estimate", str(path)).returncode == 0


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("{", "-: no JSON: "),
        ("[1]", "-: a plan is a JSON object, not a number"),
        ("{}", "-: the plan has no 'model'"),
        (
            '{"model": "gpt2", "micro_batchsize": 4}',
            "-: unknown key 'micro_batchsize' in the plan; did you mean 'micro_batch_size'?",
        ),
        (
            '{"model": "gpt2", "optimizer": {"nmae": "x"}}',
            "-: unknown key 'nmae' in optimizer of the plan; did you mean 'name'?",
        ),
        ('{"model": "gpt2", "micro_batch_size": "many"}', "-: micro_batch_size: "),
        ("[" * 100_000, "-: no plan: nested too deeply"),
        (
            '{"model": "gpt2", "micro_batch_size": ' + "9" * 5000 + "}",
            "-: no plan: a number has too many digits",
        ),
    ],
)
def test_a_slip_in_a_plan_is_one_line(cli: Cli, text: str, line: str) -> None:
    """Exit 2, and the line names the key and the nearest valid one."""
    done = cli("estimate", "-", stdin=text)
    assert (2, "") == (done.returncode, done.stdout)
    (said,) = done.stderr.splitlines()
    assert said.startswith(f"vramlint: {line}")
