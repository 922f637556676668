"""The fixes of a document as an editor offers them: every one that helps, with its edit where it has one."""

from __future__ import annotations

from dataclasses import dataclass, replace
from difflib import SequenceMatcher
from typing import TYPE_CHECKING

from vramlint.fixes.catalogue import fixes
from vramlint.mend import Mender, edited
from vramlint.pipeline import analyze
from vramlint.rules.advice import offers
from vramlint.rules.finding import Edit
from vramlint.source.spans import Position, Span

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from vramlint.rules.finding import Fix
    from vramlint.source.document import Cell, Document
    from vramlint.source.neighbours import Neighbours
    from vramlint_lsp.session import Analysis

_MOST_ROUNDS = 6


@dataclass(frozen=True, slots=True)
class Offer:
    """A fix of a run; `fits` says whether the run then surely fits its GPU."""

    run: int
    fix: Fix
    title: str
    fits: bool


def offered(
    found: Analysis, run: int, neighbours: Neighbours, is_stale: Callable[[], bool]
) -> tuple[Offer, ...]:
    """Return what helps a run, what saves most first; nothing where the document has changed meanwhile."""
    document, _ = found.source.read()
    subject = found.report.runs[run]
    mender = Mender(found.report, document, found.settings, neighbours)
    made = []
    for fix in offers(subject, tuple(fixes()), most=len(fixes())):
        if is_stale():
            return ()
        title, _, rest = fix.title.partition(", then it fits")
        made.append(Offer(run, mender.fix(fix, run), title + rest, title != fix.title))
    return tuple(made)


def all_safe(found: Analysis, neighbours: Neighbours) -> tuple[Edit, ...]:
    """Return the edits of safe fixes, one after the other, until every run fits or nothing more helps."""
    before, _ = found.source.read()
    document, report = before, found.report
    for _ in range(_MOST_ROUNDS):
        mender = Mender(report, document, found.settings, neighbours)
        safe = (
            fix
            for run, subject in enumerate(report.runs)
            if subject.fits in {"no", "maybe"}
            for offer in offers(subject, _safe_names(), most=len(_safe_names()))
            if (fix := mender.fix(offer, run)).edits
        )
        chosen = next(safe, None)
        if chosen is None:
            break
        document = edited(document, chosen.edits)
        report = analyze(document, found.settings, neighbours)
    return tuple(_differences(before, document))


def _safe_names() -> tuple[str, ...]:
    return tuple(name for name, fix in fixes().items() if fix.SAFETY == "safe")


def _differences(before: Document, after: Document) -> Iterator[Edit]:
    for old, new in zip(before.cells, after.cells, strict=True):
        if old.text != new.text:
            yield from _edits(before.path, old, new.text)


def _edits(path: str, cell: Cell, text: str) -> Iterator[Edit]:
    old, new = cell.text.split("\n"), text.split("\n")
    for kind, a, b, c, d in SequenceMatcher(None, old, new, autojunk=False).get_opcodes():
        if kind == "equal":
            continue
        lines = "".join(line + "\n" for line in new[c:d])
        span = Span(path, Position(a + 1, 0), Position(b + 1, 0), cell.index)
        if b == len(old):  # the last line has no end of its own
            span = replace(span, end=Position(len(old), len(old[-1])))
            lines = lines.removesuffix("\n")
        yield Edit(span, lines)
