"""The pipeline returns a report whatever happens, and the package's public names are there when asked for."""

from __future__ import annotations

import signal
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

import vramlint
from vramlint import Document, Settings, analyze
from vramlint.facts.setting import Known
from vramlint.knowledge import gpus
from vramlint.source.document import Cell
from vramlint.source.issue import Issue, at_top

if TYPE_CHECKING:
    from pathlib import Path

TRAIN = """\
import torch
from transformers import GPT2LMHeadModel
model = GPT2LMHeadModel.from_pretrained("gpt2", torch_dtype=torch.float32).cuda()
loader = torch.utils.data.DataLoader(data, batch_size=8, shuffle=True)
optimizer = torch.optim.AdamW(model.parameters())
for batch in loader:
    loss = model(input_ids=batch, labels=batch).loss
    loss.backward()
    optimizer.step()
"""


def script(text: str) -> Document:
    """Return a script of one cell."""
    return Document("train.py", "script", (Cell(None, text),))


def test_a_crash_is_a_finding(monkeypatch: pytest.MonkeyPatch) -> None:
    """A bug of ours takes one file with it, says where it is, and asks for a report."""

    def crash(*_: object) -> None:
        raise ZeroDivisionError("a bug")

    monkeypatch.setattr("vramlint.plan.resolve.runs", crash)
    report = analyze(script(TRAIN))
    (finding,) = report.findings
    assert ("internal-error", "error") == (finding.rule, finding.severity)
    assert "ZeroDivisionError: a bug at test_pipeline.py:" in finding.message
    assert "please report it" in finding.message


def test_neighbours_may_be_a_mapping() -> None:
    """A pin in the file beside the script decides the version of the library."""
    (pinned,) = analyze(script(TRAIN), None, {"requirements.txt": "transformers==4.44.2\n"}).runs
    (alone,) = analyze(script(TRAIN)).runs
    libraries = [run.run.settings["libraries"] for run in (pinned, alone)]
    assert all(isinstance(setting, Known) for setting in libraries)
    assert "4.44.2" in str(libraries[0])
    assert "4.44.2" not in str(libraries[1])


def test_terms_point_to_the_lines_that_cause_them() -> None:
    """Weights to the model's line, states to the optimizer's, activations to the batch's."""
    settings = Settings(overrides={"sequence_length": 128}, gpu=gpus.find("T4"))
    (run,) = analyze(script(TRAIN), settings).runs
    assert run.estimate is not None
    lines = {
        term.name: {origin.span.start.line for origin in term.origins if origin.span}
        for term in run.estimate.ledger.terms
    }
    assert 3 in lines["weights"]
    assert {5} == lines["exp_avg"]


def test_what_reading_met_is_a_finding() -> None:
    """The reader's issues become findings, also where there is nothing to analyze."""
    issue = Issue("binary", "binary data, no text", at_top("x.py"))
    report = analyze(Document("x.py", "script", ()), issues=[issue])
    assert ["unreadable-file"] == [finding.rule for finding in report.findings]


def test_a_setting_that_does_not_suit_the_script_is_a_finding() -> None:
    """A momentum for an optimizer that nobody named: said, not guessed and not raised."""
    text = TRAIN.replace("torch.optim.AdamW(model.parameters())", "make_optimizer(model)")
    (finding,) = analyze(script(text), Settings(overrides={"optimizer.momentum": 0.9})).findings
    assert ("unusable-setting", "error") == (finding.rule, finding.severity)
    assert "optimizer.name" in finding.message


def test_a_setting_that_suits_the_script_is_silent() -> None:
    """The optimizer is known, so one of its parts can be given."""
    settings = Settings(overrides={"optimizer.amsgrad": True, "sequence_length": 128})
    assert () == analyze(script(TRAIN), settings).findings


def test_selected_and_ignored_rules() -> None:
    """`select` keeps, `ignore` drops."""
    broken = script("import torch\nloss.backward(\n")
    assert ["syntax-error"] == [finding.rule for finding in analyze(broken).findings]
    assert () == analyze(broken, Settings(ignore=("syntax-error",))).findings
    assert () == analyze(broken, Settings(select=("out-of-memory",))).findings


@pytest.mark.parametrize("name", vramlint.__all__)
def test_public_names(name: str) -> None:
    """Every name that is promised can be had, and `dir` lists it."""
    assert None is not getattr(vramlint, name)
    assert name in dir(vramlint)


def test_a_name_that_is_not_public() -> None:
    """Python's own error for anything else."""
    with pytest.raises(AttributeError, match="module 'vramlint' has no attribute 'analyse'"):
        vramlint.analyse  # noqa: B018


def test_a_closed_pipe_is_quiet() -> None:
    """`vramlint gpus | head -1` says nothing on stderr."""
    command = [sys.executable, "-m", "vramlint", "optimizers"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        assert "" == process.stderr.read()
    assert process.returncode in {0, 141}


def test_an_interrupt_ends_with_130(tmp_path: Path) -> None:
    """Ctrl-C while stdin is awaited: no traceback."""
    command = [sys.executable, "-m", "vramlint", "check", "-"]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=pipe, cwd=tmp_path, text=True) as process:
        with pytest.raises(subprocess.TimeoutExpired):
            process.wait(timeout=2)
        process.send_signal(signal.SIGINT)
        _, said = process.communicate()
    assert (130, "") == (process.returncode, said)
