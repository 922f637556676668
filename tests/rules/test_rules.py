"""Rules speak where they should, with the words they promise, and stay silent elsewhere."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from vramlint.plan.document import OptimizerSpec
from vramlint.rules import (
    internal_error,
    optimizer_states_dominate,
    out_of_memory,
    peak_above_budget,
    syntax_error,
    unknown_optimizer,
    unreadable_file,
)
from vramlint.rules.blame import with_causes
from vramlint.rules.catalogue import rules
from vramlint.source.spans import Position, Span

if TYPE_CHECKING:
    from collections.abc import Callable

    from vramlint.rules.subject import Subject

GB = 10**9


def test_out_of_memory_is_an_error_at_the_low_end(subject: Callable[..., Subject]) -> None:
    """Even the low end exceeds the GPU: an error on the training call, with both figures."""
    (finding,) = out_of_memory.check(subject(60 * GB, 62 * GB, 65 * GB))
    assert ("error", "high", 9) == (finding.severity, finding.confidence, finding.span.start.line)
    assert (
        "peak 62.0 GB at the optimizer step exceeds the RTX 4090's 24.0 GB (device memory, low end 60.0 GB)"
    ) == finding.message


def test_out_of_memory_points_to_the_lines_that_cause_the_bytes(subject: Callable[..., Subject]) -> None:
    """The model's and the optimizer's lines are named, each with its bytes."""
    (finding,) = out_of_memory.check(subject(60 * GB, 62 * GB, 65 * GB))
    assert [
        (3, "weights and gradients: 4.0 GB allocated at the worst moment"),
        (5, "optimizer states and step: 8.0 GB allocated at the worst moment"),
    ] == [(related.span.start.line, related.message) for related in finding.related]


def test_out_of_memory_is_a_warning_that_names_what_decides(subject: Callable[..., Subject]) -> None:
    """Only the high end exceeds the GPU: a warning with the unknown that decides."""
    (finding,) = out_of_memory.check(subject(12 * GB, 20 * GB, 30 * GB, open_settings=("sequence_length",)))
    assert "warning" == finding.severity
    assert finding.message.startswith("peak may reach 30.0 GB at the optimizer step")
    assert finding.message.endswith("what decides: sequence_length (settle it with --set)")


@pytest.mark.parametrize("gpu", [24 * GB, None])
def test_out_of_memory_stays_silent(subject: Callable[..., Subject], gpu: int | None) -> None:
    """It fits, or no GPU is known."""
    assert [] == list(out_of_memory.check(subject(10 * GB, 12 * GB, 14 * GB, gpu=gpu)))


def test_optimizer_states_dominate_on_the_optimizer_line(subject: Callable[..., Subject]) -> None:
    """States that exceed the GPU alone are a warning on the line of the optimizer."""
    (finding,) = optimizer_states_dominate.check(subject(44 * GB, 45 * GB, 46 * GB, states=30_400_000_000))
    assert ("warning", 5) == (finding.severity, finding.span.start.line)
    assert "AdamW fp32 states: 30.4 GB, exceeds the RTX 4090's 24.0 GB alone" == finding.message


def test_optimizer_states_dominate_is_an_info_where_it_nearly_fits(subject: Callable[..., Subject]) -> None:
    """Above nine tenths of the GPU the states are worth a word."""
    (finding,) = optimizer_states_dominate.check(subject(20 * GB, 22 * GB, 23 * GB, states=11 * GB))
    assert "info" == finding.severity
    assert "AdamW fp32 states: 11.0 GB, 50% of the allocated peak" == finding.message


@pytest.mark.parametrize(
    ("expected", "states", "gpu"),
    [(12, 8, 24), (40, 3, 24), (40, 8, None)],
    ids=["it fits", "the weights are larger", "no GPU"],
)
def test_optimizer_states_dominate_stays_silent(
    subject: Callable[..., Subject], expected: int, states: int, gpu: int | None
) -> None:
    """It speaks only of states that are the largest part of a run that hardly fits."""
    room = None if gpu is None else gpu * GB
    made = subject(expected * GB, expected * GB, expected * GB, gpu=room, states=states * GB)
    assert [] == list(optimizer_states_dominate.check(made))


def test_peak_above_budget_is_an_error_at_the_low_end(subject: Callable[..., Subject]) -> None:
    """The budget holds whatever the GPU."""
    (finding,) = peak_above_budget.check(subject(41 * GB, 42 * GB, 43 * GB, gpu=None, budget=40 * GB))
    assert "error" == finding.severity
    message = "allocated peak 42.0 GB exceeds the budget of 40.0 GB (max-peak; low end 41.0 GB)"
    assert message == finding.message


@pytest.mark.parametrize("budget", [None, 50 * GB])
def test_peak_above_budget_stays_silent(subject: Callable[..., Subject], budget: int | None) -> None:
    """Without a budget, or within it, there is nothing to say."""
    assert [] == list(peak_above_budget.check(subject(41 * GB, 42 * GB, 43 * GB, budget=budget)))


def test_an_unknown_optimizer_is_a_warning_on_its_line(subject: Callable[..., Subject]) -> None:
    """The nearest known name, and what is taken instead."""
    made = subject(4 * GB, 5 * GB, 6 * GB)
    plan = made.plans[0].model_copy(update={"optimizer": OptimizerSpec(name="my.AdamWW")})
    (finding,) = unknown_optimizer.check(replace(made, plans=(plan,)))
    assert ("warning", 5) == (finding.severity, finding.span.start.line)
    assert finding.message.startswith("unknown optimizer my.AdamWW")
    assert finding.message.endswith(": two states per parameter are taken, none to three are possible")


def test_unknown_optimizer_stays_silent(subject: Callable[..., Subject]) -> None:
    """AdamW is known."""
    assert [] == list(unknown_optimizer.check(subject(4 * GB, 5 * GB, 6 * GB)))


def test_terms_are_blamed_on_the_lines_that_cause_them(subject: Callable[..., Subject]) -> None:
    """Weights on the model, states on the optimizer."""
    made = subject(4 * GB, 5 * GB, 6 * GB)
    assert made.estimate is not None
    blamed = with_causes(made.estimate, made.run)
    lines = [
        [origin.span.start.line for origin in term.origins if origin.span] for term in blamed.ledger.terms
    ]
    assert [[3], [5]] == lines


def test_an_internal_error_asks_for_a_report() -> None:
    """The finding names the exception and the place inside the analyzer."""
    with pytest.raises(ValueError, match="invalid") as caught:
        int("what happened")
    finding = internal_error.finding("train.py", caught.value)
    assert "error" == finding.severity
    assert finding.message.startswith("vramlint failed on this file: ValueError: invalid literal")
    assert finding.message.endswith("please report it at https://github.com/vramlint/vramlint/issues")


def test_file_findings_carry_their_place() -> None:
    """A syntax error is an error where it stands; a file that cannot be read is a warning at its start."""
    span = Span("train.py", Position(3, 4), Position(3, 5))
    broken = syntax_error.finding("'(' was never closed", span)
    binary = unreadable_file.finding("binary data, no text", span)
    assert ("error", span) == (broken.severity, broken.span)
    assert ("warning", "binary data, no text") == (binary.severity, binary.message)


def test_rules_about_files_do_not_look_at_runs() -> None:
    """They have no `check`, so no run makes them speak."""
    silent = {name for name, rule in rules().items() if not hasattr(rule, "check")}
    assert {
        "internal-error",
        "malformed-comment",
        "syntax-error",
        "unreadable-file",
        "unusable-setting",
    } == silent


@pytest.mark.parametrize("name", rules())
def test_a_rule_explains_itself(name: str) -> None:
    """The docstring is the documentation: five parts, and what it assumes."""
    text = rules()[name].__doc__ or ""
    parts = ["What it does", "Why is this bad?", "Example", "Use instead", "What it assumes", "Fix safety"]
    assert parts == [line.removeprefix("## ") for line in text.splitlines() if line.startswith("## ")]
    assert name.replace("-", "_") == rules()[name].__name__.rsplit(".", 1)[-1]
