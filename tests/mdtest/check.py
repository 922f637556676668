"""Checking one case: analyze its document and compare with everything that its page says."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from tests.mdtest.expect import differences, fact_differences
from tests.mdtest.outputs import measured_differences, rendered

from vramlint.pipeline import analyze
from vramlint.settings import Layer, combine, parse_options
from vramlint.source.neighbours import InMemory
from vramlint.source.read import document

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from tests.mdtest.page import Block, Case

    from vramlint.report import FileReport
    from vramlint.source.document import Document
    from vramlint.source.issue import Issue


class Analyzer(Protocol):
    """Analyzes a document with a page's options and files."""

    def __call__(
        self, document: Document, issues: Sequence[Issue], options: Mapping[str, Any], files: InMemory
    ) -> FileReport:
        """Return the report of the document."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a case comes to: the failures that no update may hide, and the output blocks that differ."""

    failures: tuple[str, ...]
    stale: tuple[tuple[Block, str], ...]


def analyzed(
    document: Document, issues: Sequence[Issue], options: Mapping[str, Any], files: InMemory
) -> FileReport:
    """Analyze as the command line does, with the options alone as configuration."""
    settings = combine([Layer("options", parse_options(options, "toml block"))], document.path)
    return analyze(document, settings, files, issues)


def check(case: Case, analyzer: Analyzer = analyzed) -> Outcome:
    """Return what differs between a case and its report."""
    read, issues = document(case.path, case.text)
    report = analyzer(read, issues, case.options, InMemory(case.files))
    texts = ((block, rendered(block, case, report)) for block in case.outputs)
    return Outcome(
        (*differences(case, report), *_checked(case, report)),
        tuple((block, text) for block, text in texts if text != block.text),
    )


def _checked(case: Case, report: FileReport) -> Iterator[str]:
    for block in case.checked:
        differ = measured_differences if block.language == "measured" else fact_differences
        yield from differ(block, report)
