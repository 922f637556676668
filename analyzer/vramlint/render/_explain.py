"""The long story: every term with its formula, its citation and its cause; or the story of one line."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vramlint.facts.setting import Known, OneOf, Unknown
from vramlint.render._page import EMPTY, Line, Piece, clip, line, paint, wrapped
from vramlint.render._run import assumed, header, opened, phases, read, verdict
from vramlint.render._textbook import comparison
from vramlint.render._values import origin_text, place_text, value_text
from vramlint.units import gigabytes
from vramlint.wording import PHASES, group_name

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from typing import Any

    from vramlint.facts.setting import Origin, Setting
    from vramlint.memory.estimate import Estimate
    from vramlint.memory.ledger import Term
    from vramlint.render.style import Style
    from vramlint.rules.subject import Subject
    from vramlint.source.spans import Span


_FORMULA = 45
"""Columns before a formula in the story of a line."""


def story(subject: Subject, style: Style) -> str:
    """Return the long story of a run, with the textbook's figures beside the engine's."""
    return paint(_story(subject, style), style)


def line_story(subjects: Sequence[Subject], place: Span, style: Style) -> str:
    """Return what one line of a file causes in its runs."""
    return paint(_line_story(subjects, place, style), style)


def _story(subject: Subject, style: Style) -> Iterator[Line]:
    yield from header(subject)
    if subject.estimate is None:
        yield from wrapped(f"The memory cannot be said: {subject.why_not}", style.width, "  ", "doubt")
    else:
        yield from verdict(subject, subject.estimate, style)
        yield from phases(subject.estimate)
        yield from _terms(subject.estimate, subject.run.span.path, style)
    yield from comparison(subject, style)
    names = subject.run.settings
    yield from read(subject, names, style)
    yield from assumed(subject, names, style)
    yield from opened(subject, style)


def _terms(estimate: Estimate, path: str, style: Style) -> Iterator[Line]:
    for title, at_peak in (("Alive at the worst moment", True), ("Gone at the worst moment", False)):
        found = (term for term in estimate.ledger.terms if term.at_peak is at_peak and term.bytes)
        terms = sorted(found, key=lambda term: (-term.bytes, term.name))
        if not terms:
            continue
        total = sum(term.bytes for term in terms)
        yield EMPTY
        yield line(Piece(f"  {title}" + (f": {gigabytes(total)} allocated" if at_peak else ""), "strong"))
        for term in terms:
            yield from _term(term, path, style)


def _term(term: Term, path: str, style: Style) -> Iterator[Line]:
    yield EMPTY
    size = f"{gigabytes(term.bytes)}  {term.bytes:,} B"
    yield line("  ", Piece(term.name, "strong"), f"  {size}  ", Piece(group_name(term.group), "faint"))
    for part in term.lines:
        named = (one for one in part.dimensions if not one.symbol.isdigit())
        sizes = ", ".join(f"{one.symbol} = {one.size:,}" for one in named)
        text = f"{part.formula} = {part.bytes:,} B" + (f"   ({sizes})" if sizes else "")
        yield from wrapped(text, style.width, "    ")
    causes = "; ".join(" ".join(origin_text(origin, path).split()) for origin in term.origins)
    if causes:
        yield from wrapped(f"because of {causes}", style.width, "    ", "accent")
    lives = ", ".join(phase.replace("_", " ") for phase in PHASES if phase in term.phases)
    yield from wrapped(f"lives in {lives}; source: {term.citation}", style.width, "    ", "faint")


def _line_story(subjects: Sequence[Subject], place: Span, style: Style) -> Iterator[Line]:
    told = False
    for number, subject in enumerate(subjects, 1):
        rows = [*_line_settings(subject, place), *_line_terms(subject, place, style)]
        if not rows:
            continue
        told = True
        which = f" in run {number} of {len(subjects)}" if len(subjects) > 1 else ""
        yield line(Piece(f"{place_text(place)}{which}", "strong"))
        yield from rows
    if not told:
        where = ", ".join(sorted({place_text(one.run.span) for one in subjects})) or "this file"
        text = f"{place_text(place)} causes no memory that the estimate knows of; the runs are at {where}."
        yield from wrapped(
            text if subjects else f"{place.path}: no training or generation found.", style.width, ""
        )


def _line_settings(subject: Subject, place: Span) -> Iterator[Line]:
    for name, setting in subject.run.settings.items():
        for value, origin in _readings(setting):
            if _covers(origin, place):
                yield line(f"  {name:<28}", Piece(value_text(name, value), "strong"), f"  {origin.detail}")


def _readings(setting: Setting[Any]) -> list[tuple[object, Origin]]:
    if isinstance(setting, Known):
        return [(setting.value, setting.origin)]
    if isinstance(setting, OneOf):
        return [(known.value, known.origin) for known in setting.alternatives]
    if isinstance(setting, Unknown) and setting.origin is not None:
        return [(f"unknown: {setting.reason}", setting.origin)]
    return []


def _line_terms(subject: Subject, place: Span, style: Style) -> Iterator[Line]:
    if subject.estimate is None:
        return
    alive = (term for term in subject.estimate.ledger.terms if term.bytes)
    terms = [term for term in alive if any(_covers(origin, place) for origin in term.origins)]
    if not terms:
        return
    total = sum(term.bytes for term in terms if term.at_peak)
    share = total / max(subject.estimate.ledger.peak, 1)
    yield line(
        Piece(f"  causes {gigabytes(total)}" if total else "  causes", "strong"),
        f", {share:.0%} of the allocated peak" if total else " memory at other moments only",
    )
    for term in sorted(terms, key=lambda term: (not term.at_peak, -term.bytes)):
        told = term.formula if term.at_peak else f"not at the worst moment; {term.formula}"
        formula = clip(told, style.width - _FORMULA)
        yield line(f"    {term.name:<30}{gigabytes(term.bytes):>9}  ", Piece(formula, "faint"))


def _covers(origin: Origin, place: Span) -> bool:
    span = origin.span
    if span is None or span.path != place.path or span.cell != place.cell:
        return False
    return span.start.line <= place.start.line <= span.end.line
