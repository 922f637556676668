"""What was measured in the kernel, in the words that a person reads, beside what was estimated."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from vramlint.units import count, gigabytes

if TYPE_CHECKING:
    from collections.abc import Iterator

    from vramlint.notebook.live import Live, LiveModel
    from vramlint.report import FileReport


class Fact(NamedTuple):
    """A measured fact: of what, the value, and how the estimate compares."""

    what: str
    value: str
    beside: str = ""


def facts(live: Live, report: FileReport) -> Iterator[Fact]:
    """Yield the facts of the kernel, models first."""
    for model in live.models:
        yield _model(model, report, alone=len(live.models) == 1)
    for optimizer in live.optimizers:
        states = ", ".join(f"{name} {gigabytes(size)}" for name, size in optimizer.states.items())
        yield Fact(optimizer.name, f"{_short(optimizer.kind)}, {states or 'no states before the first step'}")
    if live.gpu is not None:
        gpu = live.gpu
        held = f"this kernel holds {gigabytes(gpu.allocated)} allocated, {gigabytes(gpu.reserved)} reserved"
        yield Fact(gpu.name, f"{gigabytes(gpu.free)} of {gigabytes(gpu.total)} are free", held)


def _model(model: LiveModel, report: FileReport, *, alone: bool) -> Fact:
    dtypes = ", ".join(sorted(model.dtypes, key=lambda name: -model.dtypes[name]))
    trained = "" if model.trainable == model.parameters else f", {count(model.trainable)} of them trained"
    value = f"{_short(model.kind)}, {count(model.parameters)} parameters{trained}, {dtypes}, {gigabytes(model.bytes)}"
    return Fact(
        model.name, f"{value} on {', '.join(model.devices)}", _compared(model, report) if alone else ""
    )


def _compared(model: LiveModel, report: FileReport) -> str:
    estimated = {subject.estimate.parameters for subject in report.runs if subject.estimate is not None}
    if not estimated:
        return ""
    if estimated == {model.parameters}:
        return "as estimated"
    return f"the estimate counts {' or '.join(count(one) for one in sorted(estimated))}"


def _short(kind: str) -> str:
    return kind.rpartition(".")[2]


def lines(live: Live, report: FileReport) -> list[str]:
    """Return the facts as lines of text; nothing where the kernel holds nothing."""
    told = [
        f"  {fact.what}: {fact.value}{f' ({fact.beside})' if fact.beside else ''}"
        for fact in facts(live, report)
    ]
    return ["Measured in this kernel", *told] if told else []
