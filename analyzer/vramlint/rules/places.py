"""Where a setting or a term stands in the source: the places that a finding points to."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vramlint.rules.blame import settings_behind, written
from vramlint.rules.finding import Related
from vramlint.units import gigabytes

if TYPE_CHECKING:
    from vramlint.memory.ledger import Group
    from vramlint.rules.subject import Subject
    from vramlint.source.spans import Span

_CAUSES = (
    ("model", "weights and gradients"),
    ("optimizer", "optimizer states and step"),
    ("micro_batch_size", "activations, loss and inputs"),
    ("mixed_precision", "casts of the weights"),
    ("extra_models", "further models"),
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
    """Return the lines of model, optimizer, batch and so on, each with the bytes it causes at the peak."""
    return tuple(
        Related(span, f"{what}: {gigabytes(size)} allocated at the worst moment")
        for name, what in _CAUSES
        if (span := setting_span(subject, name)) is not None and (size := _bytes_behind(subject, name))
    )


def _bytes_behind(subject: Subject, name: str) -> int:
    """Return the bytes at the worst moment of the terms whose first cause is this setting."""
    if subject.estimate is None:
        return 0
    alive = (term for term in subject.estimate.ledger.terms if term.at_peak)
    return sum(term.bytes for term in alive if name in settings_behind(term)[:1])
