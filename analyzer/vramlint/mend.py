"""Edits for the fixes of a report, each kept only where reading the edited script again gives what was promised."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from vramlint.pipeline import planned
from vramlint.rules import internal_error

if TYPE_CHECKING:
    from collections.abc import Sequence

    from vramlint.report import FileReport
    from vramlint.rules.finding import Edit, Finding, Fix
    from vramlint.settings import Settings
    from vramlint.source.document import Cell, Document
    from vramlint.source.neighbours import Neighbours
    from vramlint.source.parse import Program

_CLOSE = 0.005
"""The largest difference between promise and second reading, as a part of the peak."""


def mended(report: FileReport, document: Document, settings: Settings, neighbours: Neighbours) -> FileReport:
    """Return the report with edits for those of its fixes that can be written into this document."""
    if not any(finding.fixes for finding in report.findings):
        return report
    mender = Mender(report, document, settings, neighbours)
    try:
        findings = tuple(mender.finding(finding) for finding in report.findings)
    except Exception as error:  # noqa: BLE001  a bug of ours must not hide the findings
        return replace(report, findings=(*report.findings, internal_error.finding(report.path, error)))
    return replace(report, findings=findings)


class Mender:
    """Makes edits for one document; the same fix of the same run is tried once."""

    def __init__(
        self, report: FileReport, document: Document, settings: Settings, neighbours: Neighbours
    ) -> None:
        self.report = report
        self.document = document
        self.settings = settings
        self.neighbours = neighbours
        self._known: dict[tuple[int, str], tuple[Edit, ...]] = {}
        self._parsed: Program | None = None

    def finding(self, finding: Finding) -> Finding:
        """Return the finding with edits."""
        if finding.run is None:
            return finding
        return replace(finding, fixes=tuple(self.fix(fix, finding.run) for fix in finding.fixes))

    def fix(self, fix: Fix, run: int) -> Fix:
        """Return the fix with its edit, or as it is where there is none."""
        from vramlint.fixes.catalogue import fixes  # noqa: PLC0415  only what offers fixes needs them

        if fix.name not in fixes():
            return fix
        key = (run, fix.name)
        if key not in self._known:
            self._known[key] = self._edits(fix, run)
        edits = self._known[key]
        return replace(fix, edits=edits, safety=fixes()[fix.name].SAFETY) if edits else fix

    def _edits(self, fix: Fix, run: int) -> tuple[Edit, ...]:
        from vramlint.fixes.catalogue import fixes  # noqa: PLC0415  as above
        from vramlint.fixes.script import CannotEdit, Script  # noqa: PLC0415

        edit = getattr(fixes()[fix.name], "edit", None)
        subject = self.report.runs[run]
        if edit is None or subject.run.span.path != self.document.path:
            return ()
        script = Script(self._program(), subject.run)
        try:
            edit(script, subject.plans[0])
            edits = script.edits()
        except CannotEdit:
            return ()
        return edits if self._holds(edits, fix, run) else ()

    def _program(self) -> Program:
        from vramlint.source.parse import parse  # noqa: PLC0415  as above

        if self._parsed is None:
            self._parsed = parse(self.document)
        return self._parsed

    def _holds(self, edits: Sequence[Edit], fix: Fix, run: int) -> bool:
        """Say whether the edited script, read again, needs what the fix promises."""
        before = self.report.runs[run].estimate
        peak = self._peak(edited(self.document, edits), run)
        if before is None or peak is None:
            return False
        return abs(before.allocated.expected - fix.saving - peak) <= _CLOSE * before.allocated.expected

    def _peak(self, document: Document, run: int) -> int | None:
        """Return the allocated peak of a run of an edited document; None where it is no such run any more."""
        from vramlint.memory.engine import CannotEstimate, sketch  # noqa: PLC0415  as above
        from vramlint.plan import resolve  # noqa: PLC0415
        from vramlint.plan.hub import with_configs  # noqa: PLC0415
        from vramlint.source.parse import parse  # noqa: PLC0415

        program = parse(document)
        runs = resolve.runs(program, self.neighbours, self.settings)
        if program.issues or len(runs) != len(self.report.runs):
            return None
        _, found = planned(with_configs(runs[run], self.neighbours))
        try:
            return sketch(found.plans[0], self.settings.gpu).peak if found.plans else None
        except CannotEstimate:
            return None


def edited(document: Document, edits: Sequence[Edit]) -> Document:
    """Return the document after edits of its own text."""
    return replace(document, cells=tuple(_edited(cell, edits) for cell in document.cells))


def _edited(cell: Cell, edits: Sequence[Edit]) -> Cell:
    text = cell.text
    here = sorted((edit for edit in edits if edit.span.cell == cell.index), key=lambda edit: edit.span.start)
    starts = [0]
    for line in text.split("\n"):
        starts.append(starts[-1] + len(line) + 1)
    for edit in reversed(here):
        start = starts[edit.span.start.line - 1] + edit.span.start.column
        end = starts[edit.span.end.line - 1] + edit.span.end.column
        text = text[:start] + edit.text + text[end:]
    return replace(cell, text=text)
