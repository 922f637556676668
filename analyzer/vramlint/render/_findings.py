"""What the formats for code review share: a finding's words, its path, and the page of its rule."""

from __future__ import annotations

from pathlib import PurePath, PurePosixPath
from typing import TYPE_CHECKING

from vramlint.render._values import place_text
from vramlint.units import gigabytes

if TYPE_CHECKING:
    from collections.abc import Iterator

    from vramlint.rules.finding import Finding
    from vramlint.source.spans import Span

HOME = "https://github.com/vramlint/vramlint"


def rule_page(rule: str) -> str:
    """Return the address of a rule's documentation."""
    return f"{HOME}/blob/main/docs/rules.md#{rule}"


def clean_path(path: str) -> str:
    """Return a path with slashes, and without a leading `./`."""
    return PurePath(path).as_posix()


def uri(path: str) -> str:
    """Return a path as a URI: relative where it is."""
    pure = PurePath(path)
    if pure.is_absolute():
        return pure.as_uri()
    return PurePosixPath("/", pure.as_posix()).as_uri().removeprefix("file:///")


def message(finding: Finding) -> str:
    """Return the message; one about a notebook says which cell and line, as reviewers see its JSON."""
    return _in_cell(finding.span) + finding.message


def long_message(finding: Finding) -> str:
    """Return the message with what causes it and what helps, a line each."""
    return "\n".join((message(finding), *_more(finding)))


def _more(finding: Finding) -> Iterator[str]:
    for related in finding.related:
        yield f"{place_text(related.span)}: {related.message}"
    for fix in finding.fixes:
        yield f"saves {gigabytes(fix.saving)}: {fix.title}"


def _in_cell(span: Span) -> str:
    return "" if span.cell is None else f"cell {span.cell}, line {span.start.line}: "
