"""Hand-made subjects: a run, its estimate and a GPU, with only the numbers that a rule looks at."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from vramlint.facts.setting import Known, Origin, Unknown
from vramlint.knowledge.gpu import Gpu
from vramlint.memory.estimate import Estimate, PhasePeak, Range
from vramlint.memory.ledger import Dimension, Group, Ledger, Line, Term
from vramlint.plan.document import Plan
from vramlint.plan.run import Run
from vramlint.rules.subject import Subject, fits
from vramlint.source.spans import Position, Span

GB = 10**9
MakeSubject = Callable[..., Subject]


def place(line: int) -> Span:
    """Return a place of the script."""
    return Span("train.py", Position(line, 4), Position(line, 20))


def known(value: object, line: int) -> Known[object]:
    """Return a setting read on a line."""
    return Known(value, Origin("source", "as written", place(line)))


def term(name: str, group: Group, size: int) -> Term:
    """Return a term of one tensor."""
    line = Line((Dimension("P", size // 4),), 32)
    return Term(name, group, (line,), frozenset({"optimizer_step"}), at_peak=True, citation="hand-made")


def estimate(low: int, expected: int, high: int, states: int, weights: int) -> Estimate:
    """Return figures with two terms."""
    terms = (term("weights", "weights", weights), term("exp_avg", "optimizer", states))
    return Estimate(
        allocated=Range(low, expected, high),
        reserved=Range(low, expected, high),
        device=Range(low, expected, high),
        phase="optimizer_step",
        step=1,
        phases={"optimizer_step": PhasePeak(expected, low)},
        ledger=Ledger(terms),
        timeline=(),
        assumptions=(),
        parameters=10**9,
        trainable_parameters=10**9,
    )


@pytest.fixture
def subject() -> MakeSubject:
    """Return a maker of subjects: device memory low, expected, high; states and weights at the peak."""

    def make(  # noqa: PLR0917
        low: int,
        expected: int,
        high: int,
        gpu: int | None = 24 * GB,
        states: int = 8 * GB,
        weights: int = 4 * GB,
        budget: int | None = None,
        open_settings: tuple[str, ...] = (),
    ) -> Subject:
        figures = estimate(low, expected, high, states, weights)
        card = None if gpu is None else Gpu("NVIDIA GeForce RTX 4090", gpu)
        settings = {
            "model": known({"id": "gpt2"}, 3),
            "optimizer": known({"name": "torch.optim.AdamW"}, 5),
            **{name: Unknown("only the data says") for name in open_settings},
        }
        run = Run("train", ("torch",), place(9), settings)
        plan = Plan.model_validate({"model": "gpt2", "optimizer": "torch.optim.AdamW"})
        deciding = dict(enumerate([(name,) for name in open_settings], 1))
        longer = plan.model_copy(update={"sequence_length": 4096})
        plans = (plan, *(longer for _ in open_settings))
        return Subject(run, figures, None, card, fits(figures, card, 0), plans, deciding, 0, budget)

    return make


@pytest.fixture(autouse=True)
def no_engine(monkeypatch: pytest.MonkeyPatch) -> None:
    """These tests judge the rules' decisions; figures of other plans are the engine's own matter."""
    small, huge = (estimate(size, size, size, size // 2, size // 2) for size in (9 * GB, 90 * GB))
    monkeypatch.setattr("vramlint.rules.advice.what_if", lambda *_: None)
    monkeypatch.setattr(
        "vramlint.rules.out_of_memory.estimate_of", lambda plan, _: huge if plan.sequence_length else small
    )
