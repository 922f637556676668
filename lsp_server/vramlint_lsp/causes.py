"""What a place in a text has to do with memory: the settings that were read there and the terms they cause."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from vramlint.facts.setting import Known, OneOf
from vramlint.rules.blame import settings_behind
from vramlint_lsp.places import covers, extent, is_in

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

    from vramlint.facts.setting import Origin
    from vramlint.memory.ledger import Term
    from vramlint.rules.subject import Subject
    from vramlint.source.spans import Position, Span
    from vramlint_lsp.buffers import Source, Text


@dataclass(frozen=True, slots=True)
class Reading:
    """One value of a setting, and where it was read."""

    name: str
    value: Any
    origin: Origin


def readings(subject: Subject) -> Iterator[Reading]:
    """Yield each value that a run's settings have or may have; what is unknown has none."""
    for name, setting in subject.run.settings.items():
        if isinstance(setting, Known):
            yield Reading(name, setting.value, setting.origin)
        elif isinstance(setting, OneOf):
            yield from (Reading(name, known.value, known.origin) for known in setting.alternatives)


def read_at(subject: Subject, source: Source, text: Text, place: Position) -> tuple[Reading, ...]:
    """Return what was read at a place; of spans inside each other the innermost, with its keyword if it has one."""
    here = [
        (extent(span), reading)
        for reading in readings(subject)
        if is_in(span := reading.origin.span, source, text)
        and span is not None
        and covers(with_keyword(span, text), place)
    ]
    if not here:
        return ()
    innermost = min(size for size, _ in here)
    return tuple(reading for size, reading in here if size == innermost)


def with_keyword(span: Span, text: Text) -> Span:
    """Return a span with the `name=` before it, which a person points to as well."""
    from dataclasses import replace  # noqa: PLC0415

    from vramlint.source.spans import Position  # noqa: PLC0415

    number, column = span.start.line, span.start.column
    if number > len(text.lines):
        return span
    before = text.lines[number - 1][:column].rstrip()
    if not before.endswith(("=", ":")):
        return span
    name = before[:-1].rstrip()
    start = len(name)
    while start and (name[start - 1].isalnum() or name[start - 1] in "_\"'-"):
        start -= 1
    return replace(span, start=Position(number, start))


def terms_of(subject: Subject, name: str) -> tuple[Term, ...]:
    """Return the terms of which a setting is a cause, the largest at the worst moment first."""
    if subject.estimate is None:
        return ()
    found = (term for term in subject.estimate.ledger.terms if term.bytes and name in settings_behind(term))
    return tuple(sorted(found, key=lambda term: (not term.at_peak, -term.bytes, term.name)))


def owned(subject: Subject) -> Iterator[tuple[Span, Term]]:
    """Yield each term that is alive at the worst moment with the first place that causes it."""
    if subject.estimate is None:
        return
    for term in subject.estimate.ledger.terms:
        span = next((origin.span for origin in term.origins if origin.span is not None), None)
        if term.at_peak and term.bytes and span is not None:
            yield span, term
