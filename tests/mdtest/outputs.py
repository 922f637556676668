"""The output blocks of a page: what they must hold, and the figures of `measured` blocks."""

from __future__ import annotations

import difflib
import re
from typing import TYPE_CHECKING

from tests.mdtest.page import PageError

from vramlint.render.style import Style
from vramlint.report import FileReport, Report

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from tests.mdtest.page import Block, Case

    from vramlint.memory.estimate import Estimate
    from vramlint.rules.finding import Edit

_STYLE = Style(width=100)
_UNITS = {"B": 1, "MB": 10**6, "GB": 10**9, "MiB": 2**20, "GiB": 2**30}
_FIGURE = re.compile(
    r"(?P<what>allocated|reserved|device)\s*=\s*(?P<number>\d[\d_]*(?:\.\d+)?)\s*(?P<unit>B|MB|GB|MiB|GiB)"
    r"\s*(?:±|\+/-)\s*(?P<tolerance>\d+(?:\.\d+)?)\s*%"
)


def rendered(block: Block, case: Case, report: FileReport) -> str:
    """Return what an output block must hold, with a line end.

    Raises:
        PageError: for a format that does not exist.
    """
    if block.language == "ledger":
        text = "\n".join(_ledger(report))
    elif block.language == "edit":
        text = "\n".join(_edit(case, report))
    else:
        text = _format(block, report)
    return "".join(line.rstrip() + "\n" for line in text.splitlines())


def measured_differences(block: Block, report: FileReport) -> Iterator[str]:
    """Yield a line for each measured figure that the first run's estimate misses.

    Raises:
        PageError: for a block without a figure, its tolerance or its source.
    """
    figures = list(_FIGURE.finditer(block.text))
    if not figures or not re.search(r"^source\s*=\s*\S", block.text, re.MULTILINE):
        raise PageError(
            f"line {block.line}: a measured block needs `allocated = 8.1 GB ± 2 %` and `source = …`"
        )
    estimate = report.runs[0].estimate if report.runs else None
    for figure in figures:
        truth = float(figure["number"].replace("_", "")) * _UNITS[figure["unit"]]
        told = _expected(estimate, figure["what"])
        if told is None or abs(told - truth) > truth * float(figure["tolerance"]) / 100:
            answer = "nothing" if told is None else f"{told:,} B"
            yield f"line {block.line}: measured {figure[0]}, estimated {answer}"


def updated(text: str, replaced: Sequence[tuple[Block, str]]) -> str:
    """Return a page with the text of some blocks replaced."""
    lines = text.split("\n")
    for block, new in sorted(replaced, key=lambda item: item[0].line, reverse=True):
        start = block.line - 1
        lines[start : start + block.text.count("\n")] = new.splitlines()
    return "\n".join(lines)


def _expected(estimate: Estimate | None, what: str) -> int | None:
    if estimate is None:
        return None
    return {"allocated": estimate.allocated, "reserved": estimate.reserved, "device": estimate.device}[
        what
    ].expected


def _ledger(report: FileReport) -> Iterator[str]:
    for subject in report.runs:
        if subject.estimate is None:
            yield f"no estimate: {subject.why_not}"
            continue
        for term in subject.estimate.ledger.terms:
            if term.at_peak:
                yield f"{term.bytes:>18,} B  {term.name}: {term.formula}"
        yield f"{subject.estimate.ledger.peak:>18,} B  at the peak, {subject.estimate.phase}"


def _edit(case: Case, report: FileReport) -> Iterator[str]:
    """Yield each fix that edits the document under test as a unified difference of its cell."""
    for finding in report.findings:
        for fix in finding.fixes:
            if not fix.edits:
                continue
            yield f"# {fix.title} ({fix.safety})"
            block = case.script[fix.edits[0].span.cell or 0]
            yield from _unified(block.text, _applied(block.text, fix.edits))


def _applied(text: str, edits: Sequence[Edit]) -> str:
    starts = [0]
    for line in text.splitlines(keepends=True):
        starts.append(starts[-1] + len(line))
    for edit in sorted(edits, key=lambda edit: edit.span.start, reverse=True):
        start = starts[edit.span.start.line - 1] + edit.span.start.column
        end = starts[edit.span.end.line - 1] + edit.span.end.column
        text = text[:start] + edit.text + text[end:]
    return text


def _unified(old: str, new: str) -> Iterator[str]:
    changed = difflib.unified_diff(old.splitlines(), new.splitlines(), lineterm="", n=0)
    return (line for line in changed if not line.startswith(("---", "+++", "@@")))


def _format(block: Block, report: FileReport) -> str:
    from vramlint.render import catalogue  # noqa: PLC0415  pages without such blocks need no renderer

    module = catalogue.load(block.language)
    if module is None:
        raise PageError(f"line {block.line}: nothing renders {block.language!r}")
    text: str = module.render(Report((report,)), (), _STYLE)
    return text
