"""A finding: what is wrong, where, how sure we are, and which edits would mend it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from vramlint.source.spans import Span

Severity = Literal["error", "warning", "info", "hint"]
Confidence = Literal["high", "medium", "low"]
Safety = Literal["safe", "unsafe", "display"]


@dataclass(frozen=True, slots=True)
class Edit:
    """Replace the text of `span` by `text`."""

    span: Span
    text: str


@dataclass(frozen=True, slots=True)
class Fix:
    """A way out: `saving` is in bytes of the allocated peak; `display` fixes are advice without edits.

    `name` is that of the fix in `vramlint.fixes`, which may know an edit.
    """

    title: str
    saving: int
    safety: Safety
    edits: tuple[Edit, ...] = ()
    name: str = ""


@dataclass(frozen=True, slots=True)
class Related:
    """A further place that has to do with a finding."""

    span: Span
    message: str


@dataclass(frozen=True, slots=True)
class Finding:
    """One finding; `run` is the index of its run in the file, or None for the file as a whole."""

    rule: str
    severity: Severity
    confidence: Confidence
    message: str
    span: Span
    related: tuple[Related, ...] = ()
    fixes: tuple[Fix, ...] = ()
    run: int | None = None

    def spans(self) -> tuple[Span, ...]:
        """Return its place, those that have to do with it, and those that its fixes edit."""
        edits = (edit.span for fix in self.fixes for edit in fix.edits)
        return (self.span, *(related.span for related in self.related), *edits)
