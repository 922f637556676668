"""The JSON document keeps its contract, key by key."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from vramlint import __version__
from vramlint.facts.launch import Launch
from vramlint.render import json as contract
from vramlint.render.style import Style
from vramlint.report import FileReport
from vramlint.source.spans import Position, Span

if TYPE_CHECKING:
    from vramlint.report import Report
    from vramlint.rules.subject import Subject


def alone(subject: Subject) -> FileReport:
    """Return the report of one plan's run."""
    return FileReport("plan.json", (subject,), ())


@pytest.fixture
def document(report: Report) -> Any:
    """The document of the hand-made report."""
    return json.loads(contract.render(report, ("missing.py: no such file",), Style()))


@pytest.fixture
def run(document: Any) -> Any:
    """Its only run."""
    return document["files"][0]["runs"][0]


def test_the_document(document: Any) -> None:
    """Version, tool, errors and files."""
    assert ["version", "tool", "errors", "files"] == list(document)
    assert 1 == document["version"]
    assert {"name": "vramlint", "version": __version__} == document["tool"]
    assert [{"message": "missing.py: no such file"}] == document["errors"]
    assert ["path", "runs", "findings"] == list(document["files"][0])


def test_a_run(run: Any) -> None:
    """Its kind, its place, and everything else under its own key."""
    keys = ["kind", "frameworks", "path", "cell", "line", "launch", "settings", "memory", "reason", "gpu"]
    assert keys == list(run)
    assert ("train", ["torch", "transformers"], "train.py", None, 30) == tuple(run[key] for key in keys[:5])
    assert {"name": "NVIDIA GeForce RTX 4090", "bytes": 25_250_627_584, "fits": "no"} == run["gpu"]


def test_the_launch_of_a_run(run: Any, subject: Subject) -> None:
    """The command with its place; null without one, and no place for a command that an option gives."""
    assert run["launch"] is None
    span = Span("run.sh", Position(3, 0), Position(3, 0))
    found = replace(subject, run=replace(subject.run, launch=Launch(command="python train.py", span=span)))
    told = json.loads(contract.render_run(alone(found), Style()))["launch"]
    assert {"path": "run.sh", "cell": None, "line": 3, "command": "python train.py"} == told
    by_hand = replace(subject, run=replace(subject.run, launch=Launch(command="python train.py")))
    assert json.loads(contract.render_run(alone(by_hand), Style()))["launch"]["path"] is None


def test_a_known_setting(run: Any) -> None:
    """Its value, alone among the values, and its origin."""
    origin = {
        "kind": "argument-default",
        "path": "train.py",
        "cell": None,
        "line": 8,
        "column": 4,
        "detail": "default of --batch-size",
    }
    expected = {"status": "known", "value": 4, "values": [4], "reason": None, "origin": origin}
    assert expected == run["settings"]["micro_batch_size"]


def test_a_setting_with_alternatives(run: Any) -> None:
    """The likeliest value, all values, and what decides."""
    setting = run["settings"]["mixed_precision"]
    assert ("one-of", "bf16", ["bf16", "fp16"]) == (setting["status"], setting["value"], setting["values"])
    assert "the flag --bf16 decides" == setting["reason"]


def test_an_unknown_setting(run: Any) -> None:
    """No value, and the reason; the bounds are no facts and do not appear."""
    reason = "the data set decides"
    expected = {"status": "unknown", "value": None, "values": [], "reason": reason, "origin": None}
    assert expected == run["settings"]["sequence_length"]


def test_a_default_without_a_place(run: Any) -> None:
    """The origin has all keys, and null where there is no file."""
    origin = run["settings"]["attention"]["origin"]
    assert ("framework-default", None, None, "transformers 5.x") == tuple(
        origin[key] for key in ("kind", "path", "line", "detail")
    )


def test_every_setting_of_the_contract_is_there(run: Any) -> None:
    """What a run does not hold is unknown, not absent."""
    names = ["model", "param_dtype", "mixed_precision", "optimizer", "micro_batch_size", "sequence_length"]
    names += ["image_size", "gradient_accumulation_steps", "gradient_checkpointing", "lora", "quantization"]
    names += ["sharding", "attention", "extra_models", "loss", "compile", "generation"]
    assert [] == [name for name in names if name not in run["settings"]]


def test_memory(run: Any, subject: Subject) -> None:
    """The figures in bytes; `peak.expected` is `allocated`, and terms at the peak add up to it."""
    memory = run["memory"]
    keys = ["peak", "phase", "allocated", "reserved", "device", "range", "phases", "terms", "timeline"]
    assert [] == [key for key in keys if key not in memory]
    assert memory["allocated"] == memory["peak"]["expected"]
    assert memory["allocated"] == sum(term["bytes"] for term in memory["terms"] if term["at_peak"])
    assert {"peak": 13 * 10**9, "end": 13 * 10**9} == memory["phases"]["load"]
    assert subject.estimate is not None
    ends = [subject.estimate.device.low, subject.estimate.device.high]
    assert ends == memory["range"]["device"]
    assert None is memory["timeline"]


def test_a_term(run: Any) -> None:
    """Name, group, bytes, formula, citation, and the places that caused it."""
    term = run["memory"]["terms"][0]
    keys = ["name", "group", "bytes", "formula", "at_peak", "phases", "citation", "origin"]
    assert keys == list(term)
    assert ("parameters", "weights", 13_476_831_232) == (term["name"], term["group"], term["bytes"])
    assert [12] == [origin["line"] for origin in term["origin"]]


def test_the_timeline_on_request(subject: Subject) -> None:
    """A list of moments."""
    run = json.loads(contract.render_run(alone(subject), Style(timeline=True)))
    first = {"t": 0, "phase": "load", "bytes": 13 * 10**9, "label": "weights"}
    assert first == run["memory"]["timeline"][0]


def test_a_run_without_figures(subject: Subject) -> None:
    """Memory and GPU are null where unknown, and the reason is said."""
    bare = replace(subject, estimate=None, why_not="the model is not known", gpu=None)
    (run,) = json.loads(contract.render_runs([alone(bare)], Style()))
    assert (None, None, "the model is not known") == (run["memory"], run["gpu"], run["reason"])


def test_a_finding(document: Any) -> None:
    """Place, related places, ways out with their edits, and the index of its run."""
    (finding,) = document["files"][0]["findings"]
    place = {
        "path": "train.py",
        "cell": None,
        "start": {"line": 30, "column": 4},
        "end": {"line": 30, "column": 20},
    }
    assert place == {key: finding[key] for key in place}
    assert ("out-of-memory", "error", "high", 0) == tuple(
        finding[key] for key in ("rule", "severity", "confidence", "run")
    )
    assert [12] == [related["start"]["line"] for related in finding["related"]]
    (fix,) = finding["fixes"]
    assert ("8-bit AdamW", 20 * 10**9, "safe") == (fix["title"], fix["saving"], fix["safety"])
    assert ["path", "cell", "start", "end", "text"] == list(fix["edits"][0])
