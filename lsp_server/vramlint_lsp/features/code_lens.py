"""Code lens: over a training call its peak, the GPU that it needs, and the largest batch that fits."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lsprotocol import types

from vramlint.units import gigabytes
from vramlint.wording import moment, short_name
from vramlint_lsp.cards import needs
from vramlint_lsp.places import is_in, range_in

if TYPE_CHECKING:
    from collections.abc import Iterator

    from vramlint.rules.subject import Subject
    from vramlint_lsp.advice import Advice
    from vramlint_lsp.buffers import Text
    from vramlint_lsp.server import Server
    from vramlint_lsp.session import Analysis

_PATIENCE = 0.25
_MOST_RUNS = 3
EXPLAIN, SIMULATE = "vramlint.explain", "vramlint.simulate"


def register(server: Server) -> None:
    """Register the lenses."""

    @server.guarded(types.TEXT_DOCUMENT_CODE_LENS, types.CodeLensOptions(resolve_provider=False), [])
    async def code_lens(params: types.CodeLensParams) -> list[types.CodeLens]:
        uri = params.text_document.uri
        found = await server.session.advice(uri, _PATIENCE)
        text = found.source.text_at(uri) if found is not None else None
        if found is None or text is None or not server.configuration.switches(found.source.path).code_lens:
            return []
        return [*_lenses(server, found, text)]


def _lenses(server: Server, found: Analysis, text: Text) -> Iterator[types.CodeLens]:
    encoding = server.session.buffers.encoding
    shown: dict[int, int] = {}
    for number, subject in enumerate(found.report.runs):
        span = subject.run.span
        if not is_in(span, found.source, text):
            continue
        shown[span.start.line] = shown.get(span.start.line, 0) + 1
        if shown[span.start.line] > _MOST_RUNS:
            continue
        place = range_in(text, span, encoding)
        advice = found.advice[number] if found.advice is not None else None
        for title, command in _commands(subject, advice):
            yield types.CodeLens(
                range=place,
                command=types.Command(
                    title=title, command=command, arguments=[{"uri": found.source.uri, "run": number}]
                ),
            )


def _commands(subject: Subject, advice: Advice | None) -> Iterator[tuple[str, str]]:
    yield title(subject, advice), EXPLAIN
    if subject.estimate is not None:
        yield "simulate", SIMULATE


def title(subject: Subject, advice: Advice | None) -> str:
    """Return the line over a training call; a click explains it."""
    estimate = subject.estimate
    if estimate is None:
        return f"memory unknown: {subject.why_not}"
    parts = [f"peak {gigabytes(estimate.allocated.expected)} {moment(estimate.phase)}"]
    if subject.gpu is not None:
        words = {"yes": "fits", "no": "exceeds", "maybe": "may exceed", "unknown": "on"}[subject.fits]
        parts.append(f"{words} {short_name(subject.gpu)}")
    if subject.fits != "yes":
        parts.append(needs(subject))
    parts += _most(subject, advice)
    return " · ".join((*parts, "explain"))


def _most(subject: Subject, advice: Advice | None) -> Iterator[str]:
    room = advice.rooms.get("micro_batch_size") if advice is not None else None
    if subject.gpu is None or room is None or room.largest is None:
        return
    yield f"max batch {room.largest:,} on this GPU" if room.largest else "not even batch 1 fits"
