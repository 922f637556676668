"""The session as a document: what was executed, in the order of execution."""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from vramlint.report import FileReport
from vramlint.source.document import Cell, Document

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

    from vramlint.rules.finding import Finding

PATH = "In"
"""What the document is called: its cells are `In [1]`, `In [2]` and so on."""

_MAGIC_LINE = re.compile(r"^[^\S\n]*(?:\w+[^\S\n]*=[^\S\n]*)?%vramlint\b", re.MULTILINE)


@dataclass(slots=True)
class Session:
    """An IPython shell's history, and which cell of the notebook each execution was of, where the front end says."""

    shell: Any
    cell_of: dict[int, str] = field(default_factory=dict)

    def noted(self, info: Any) -> None:
        """Take note of an execution that begins (IPython's event `pre_run_cell`)."""
        cell = getattr(info, "cell_id", None)
        if cell is not None:
            self.cell_of[self.shell.execution_count] = cell

    def document(self, upcoming: str | None = None) -> Document:
        """Return what was executed, up to the magic that asks; with a cell that is yet to run where one is given."""
        history = list(enumerate(self.shell.history_manager.input_hist_raw))[1:]
        cells = [Cell(number, text) for number, text in history if text.strip()]
        if upcoming is None:
            cells = [*cells[:-1], replace(cells[-1], text=_before(cells[-1].text))] if cells else []
        elif not cells or upcoming.strip() not in cells[-1].text:
            cells.append(Cell(self.shell.execution_count, upcoming))
        return Document(PATH, "notebook", tuple(cells))

    def superseded(self, document: Document) -> frozenset[int]:
        """Return the executions of cells that were executed again later: their runs are over."""
        newest: dict[str, int] = {}
        numbers = [(cell.index, self._identity(cell)) for cell in document.cells if cell.index is not None]
        newest.update({identity: number for number, identity in numbers})
        return frozenset(number for number, identity in numbers if newest[identity] != number)

    def _identity(self, cell: Cell) -> str:
        return self.cell_of.get(cell.index or 0) or f"text {cell.text.strip()}"


def _before(text: str) -> str:
    """Return a cell up to its first `%vramlint`: what stands below has not run yet."""
    found = _MAGIC_LINE.search(text)
    return text if found is None else text[: found.start()]


def only_of(report: FileReport, cell: int) -> FileReport:
    """Return a report with the runs of one cell, where it has any."""
    others = {subject.run.span.cell or 0 for subject in report.runs} - {cell}
    return without(report, others) if any(one.run.span.cell == cell for one in report.runs) else report


def without(report: FileReport, cells: Collection[int]) -> FileReport:
    """Return a report without the runs and findings of these cells."""
    kept = [number for number, subject in enumerate(report.runs) if subject.run.span.cell not in cells]
    runs = tuple(report.runs[number] for number in kept)
    return FileReport(report.path, runs, tuple(_kept(report.findings, kept, cells)))


def _kept(findings: Collection[Finding], runs: list[int], cells: Collection[int]) -> Iterator[Finding]:
    for finding in findings:
        if finding.run is None and finding.span.cell not in cells:
            yield finding
        elif finding.run in runs:
            yield replace(finding, run=runs.index(finding.run))
