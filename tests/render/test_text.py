"""The page that a person reads says everything, calmly, at any width, with and without colour."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from vramlint.render import text
from vramlint.render._page import bar, clip
from vramlint.render._values import value_text
from vramlint.render.style import Style
from vramlint.report import FileReport, Report

if TYPE_CHECKING:
    from vramlint.rules.subject import Subject


def alone(subject: Subject) -> FileReport:
    """Return the report of one plan's run."""
    return FileReport("plan.json", (subject,), ())


def test_the_verdict_names_the_kind_of_memory(subject: Subject) -> None:
    """Each number says which of allocated, reserved and device it is."""
    page = text.render_run(alone(subject), Style())
    assert "✗ Does not fit the RTX 4090: device memory 42.4 GB of 25.3 GB" in page
    said = " ".join(page.split())
    assert "allocated 40.4 GB 39.4 GB to 41.4 GB peak of torch's tensors, at the optimizer step" in said
    assert "reserved 41.4 GB 40.4 GB to 42.4 GB with rounding and fragmentation" in said
    assert "device 42.4 GB 41.4 GB to 43.4 GB with the CUDA context" in said


def test_terms_come_largest_first_with_formula_and_cause(subject: Subject) -> None:
    """A row has bytes, a bar, the formula and the line; small terms share one row; others are absent."""
    rows = text.render_run(alone(subject), Style()).splitlines()
    (weights,) = [row for row in rows if row.startswith("  parameters")]
    assert "13.5 GB ████▋ " in weights
    assert "P \N{MULTIPLICATION SIGN} 2 B" in weights
    assert weights.endswith("line 12")
    assert any("1 smaller " in row for row in rows)
    assert not any("logits" in row for row in rows)


def test_every_setting_tells_where_it_comes_from(subject: Subject) -> None:
    """Read with its line, assumed with its reason, open with what decides and how to settle it."""
    page = " ".join(text.render_run(alone(subject), Style()).split())
    assert "model meta-llama/Llama-2-7b-hf line 12 from_pretrained(...)" in page
    assert "micro_batch_size 4 line 8 default of --batch-size" in page
    assert "attention sdpa transformers 5.x" in page
    assert "- Nothing else allocates on the GPU." in page
    assert "mixed_precision one of bf16 line 20 if bf16 fp16 line 22 else the flag --bf16 decides" in page
    assert "sequence_length unknown, taken as 128 to 4,096 the data set decides" in page
    assert "Settle it: --set sequence_length=…" in page


def test_a_run_without_figures_says_why(subject: Subject) -> None:
    """No estimate is an answer too, and it has a reason."""
    page = text.render_run(alone(replace(subject, estimate=None, why_not="the model is not known")), Style())
    assert "The memory cannot be said: the model is not known" in page


def test_findings_carry_places_and_ways_out(report: Report) -> None:
    """Severity, rule, place, message, related lines, savings, and a summary."""
    page = text.render(report, (), Style())
    assert "error out-of-memory  train.py:30" in page
    assert "    train.py:12  weights: 13.5 GB allocated at the worst moment" in page
    assert "    saves 20.0 GB  8-bit AdamW" in page
    assert page.endswith("1 file, 1 run, 1 error.")


def test_silence_is_told() -> None:
    """A file without training gets one line."""
    page = text.render(Report((FileReport("util.py", (), ()),)), (), Style())
    assert "1 file, no training or generation found." == page


@pytest.mark.parametrize("width", [60, 80, 100, 120])
def test_rows_keep_to_the_width(report: Report, width: int) -> None:
    """No row of the breakdown is wider than the terminal."""
    rows = text.render(report, (), Style(width=width)).splitlines()
    bars = [row for row in rows if "█" in row]
    assert bars
    assert [] == [row for row in bars if len(row) > width]


def test_colour_only_where_it_is_wanted(report: Report) -> None:
    """The painted page is the plain one, with escapes."""
    painted = text.render(report, (), Style(color=True))
    assert "\x1b[" in painted
    assert "\x1b[" not in text.render(report, (), Style())


def test_plain_signs_where_the_receiver_has_no_others(report: Report) -> None:
    """An ASCII terminal gets ASCII."""
    assert text.render(report, (), Style(unicode=False)).isascii()


def test_the_timeline_on_request(subject: Subject) -> None:
    """Moments appear only where they were asked for."""
    assert "Timeline" not in text.render_run(alone(subject), Style())
    assert "optimizer step: AdamW" in text.render_run(alone(subject), Style(timeline=True))


def test_bars_and_clips() -> None:
    """Half is half, something is never nothing, and a cut is visible."""
    assert "█████     " == bar(5, 10, 10)
    assert "▏   " == bar(1, 10**6, 4)
    assert "    " == bar(0, 10, 4)
    assert "abc…" == clip("abcdef", 4)


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("model", {"id": "gpt2"}, "gpt2"),
        ("model", {"class": "Net"}, "Net"),
        ("model", {"parameters": 7_000_000_000}, "7,000,000,000 parameters"),
        ("model", {"config": {"model_type": "llama"}}, "a config of type llama"),
        ("optimizer", {"name": "AdamW", "fused": True, "momentum": 0.0}, "AdamW, fused"),
        ("lora", {"r": 8, "target_modules": ["q_proj", "v_proj"]}, "r=8 on q_proj, v_proj"),
        ("lora", {"r": 8, "target_modules": None}, "r=8 on PEFT's own choice of modules"),
        ("gradient_checkpointing", {"use_reentrant": False}, "yes"),
        ("sharding", {"kind": "zero2", "world_size": 8}, "zero2, world_size=8"),
        (
            "extra_models",
            [{"role": "reference", "param_dtype": "bfloat16"}],
            "reference, param_dtype=bfloat16",
        ),
        ("extra_models", [], "none"),
        ("compile", False, "no"),
        ("lora", None, "none"),
    ],
)
def test_values_read_well(name: str, value: object, expected: str) -> None:
    """A setting's value in the few words a person wants."""
    assert expected == value_text(name, value)
