"""Where a setting or a term stands in the source: the places that a finding points to."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vramlint.rules.blame import written
from vramlint.rules.finding import Related
from vramlint.units import gigabytes

if TYPE_CHECKING:
    from vramlint.memory.ledger import Group
    from vramlint.rules.subject import Subject
    from vramlint.source.spans import Span

_CAUSES: tuple[tuple[str, str, tuple[Group, ...]], ...] = (
    ("model", "weights", ("weights",)),
    ("optimizer", "optimizer states and their step", ("optimizer", "temporaries")),
    ("micro_batch_size", "activations, loss and inputs", ("activations", "loss", "inputs")),
    ("extra_models", "further models", ("extra-models",)),
)


def setting_span(subject: Subject, name: str) -> Span | None:
    """Return the place in a file where the setting was written, if there is one."""
    origin = written(subject.run, name)
    return origin.span if origin is not None else None


def bytes_at_peak(subject: Subject, groups: tuple[Group, ...]) -> int:
    """Return the bytes that these groups have at the worst moment."""
    if subject.estimate is None:
        return 0
    terms = subject.estimate.ledger.terms
    return sum(term.bytes for term in terms if term.at_peak and term.group in groups)


def causes(subject: Subject) -> tuple[Related, ...]:
    """Return the lines of model, optimizer and batch, each with the bytes it causes at the worst moment."""
    return tuple(
        Related(span, f"{what}: {gigabytes(size)} allocated at the worst moment")
        for name, what, groups in _CAUSES
        if (span := setting_span(subject, name)) is not None and (size := bytes_at_peak(subject, groups))
    )
