"""A hand-made report: one run with every kind of setting, terms large and small, and one finding."""

from __future__ import annotations

import pytest

from vramlint.facts.setting import Known, OneOf, Origin, Unknown
from vramlint.knowledge.gpu import Gpu
from vramlint.memory.estimate import Estimate, Moment, PhasePeak, Range
from vramlint.memory.ledger import Dimension, Ledger, Line, Term
from vramlint.plan.run import Run
from vramlint.report import FileReport, Report
from vramlint.rules.finding import Edit, Finding, Fix, Related
from vramlint.rules.subject import Subject
from vramlint.source.spans import Position, Span

GB = 10**9
WEIGHTS = Line((Dimension("P", 6_738_415_616),), 16)


def place(line: int) -> Span:
    """Return a place of the script."""
    return Span("train.py", Position(line, 4), Position(line, 20))


def from_source(value: object, line: int, detail: str) -> Known[object]:
    """Return a setting read on a line."""
    return Known(value, Origin("source", detail, place(line)))


def settings() -> dict[str, Known[object] | OneOf[object] | Unknown]:
    """Return a setting of each kind."""
    return {
        "model": from_source({"id": "meta-llama/Llama-2-7b-hf"}, 12, "from_pretrained(...)"),
        "micro_batch_size": Known(4, Origin("argument-default", "default of --batch-size", place(8))),
        "optimizer": from_source({"name": "torch.optim.AdamW", "fused": True}, 14, "AdamW(fused=True)"),
        "attention": Known("sdpa", Origin("framework-default", "transformers 5.x")),
        "lora": Known(None, Origin("framework-default", "no adapters in the script")),
        "mixed_precision": OneOf(
            (from_source("bf16", 20, "if bf16"), from_source("fp16", 22, "else")), "the flag --bf16 decides"
        ),
        "sequence_length": Unknown("the data set decides", bounds=(128, 512, 4096)),
    }


def terms() -> tuple[Term, ...]:
    """Return three large terms, a small one and one that is gone at the peak."""
    weights = Origin("source", "from_pretrained(...)", place(12))
    states = Origin("source", "AdamW(fused=True)", place(14))
    always = frozenset({"forward", "backward", "optimizer_step"})
    step = frozenset({"optimizer_step"})
    small = (Line((Dimension("B", 4), Dimension("T", 512)), 64),)
    return (
        Term("parameters", "weights", (WEIGHTS,), always, at_peak=True, citation="torch", origins=(weights,)),
        Term(
            "exp_avg", "optimizer", (WEIGHTS,), step, at_peak=True, citation="torch.optim", origins=(states,)
        ),
        Term("exp_avg_sq", "optimizer", (WEIGHTS,), step, at_peak=True, citation="torch.optim"),
        Term("input ids", "inputs", small, always, at_peak=True, citation="a batch of tokens"),
        Term("logits", "loss", small, frozenset({"forward"}), at_peak=False, citation="the head"),
    )


def estimate() -> Estimate:
    """Return figures around those terms."""
    ledger = Ledger(terms())
    return Estimate(
        allocated=Range(ledger.peak - GB, ledger.peak, ledger.peak + GB),
        reserved=Range(ledger.peak, ledger.peak + GB, ledger.peak + 2 * GB),
        device=Range(ledger.peak + GB, ledger.peak + 2 * GB, ledger.peak + 3 * GB),
        phase="optimizer_step",
        step=1,
        phases={"load": PhasePeak(13 * GB, 13 * GB), "optimizer_step": PhasePeak(ledger.peak, 39 * GB)},
        ledger=ledger,
        timeline=(Moment(0, "load", 13 * GB, "weights"), Moment(1, "optimizer_step", ledger.peak, "AdamW")),
        assumptions=("Nothing else allocates on the GPU.",),
        parameters=6_738_415_616,
        trainable_parameters=6_738_415_616,
    )


def finding() -> Finding:
    """Return a finding with everything."""
    return Finding(
        rule="out-of-memory",
        severity="error",
        confidence="high",
        message="peak 42.4 GB at the optimizer step exceeds the RTX 4090's 25.3 GB",
        span=place(30),
        related=(Related(place(12), "weights: 13.5 GB allocated at the worst moment"),),
        fixes=(Fix("8-bit AdamW", 20 * GB, "safe", (Edit(place(14), "AdamW8bit()"),)),),
        run=0,
    )


@pytest.fixture
def subject() -> Subject:
    """One training run that does not fit its GPU."""
    run = Run("train", ("torch", "transformers"), place(30), settings())
    gpu = Gpu("NVIDIA GeForce RTX 4090", 25_250_627_584)
    return Subject(run, estimate(), None, gpu, "no")


@pytest.fixture
def report(subject: Subject) -> Report:
    """The report of one file with that run and one finding."""
    return Report((FileReport("train.py", (subject,), (finding(),)),))
