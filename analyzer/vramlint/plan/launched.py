"""The scripts that a shell script or a notebook starts, and which of several runs differ."""

from __future__ import annotations

import posixpath
from typing import TYPE_CHECKING

from vramlint.facts.setting import alternatives
from vramlint.plan.launches import places
from vramlint.source.document import Cell, Document
from vramlint.source.parse import parse
from vramlint.source.read import document

if TYPE_CHECKING:
    from collections.abc import Iterable

    from vramlint.facts.launch import Launch
    from vramlint.plan.run import Run
    from vramlint.source.magics import WrittenFile
    from vramlint.source.neighbours import Neighbours
    from vramlint.source.parse import Program


def launched_program(launch: Launch, starter: Program, base: str, neighbours: Neighbours) -> Program | None:
    """Return the script of a launch: one that a cell of the starter writes, else the file; None without any."""
    for place in places(launch, base):
        for file in starter.written:
            if posixpath.normpath(posixpath.join(base, file.name)) == posixpath.normpath(place):
                return _written(file, starter)
        content = neighbours.read(place)
        if content is not None:
            return parse(document(posixpath.normpath(place), content, "script")[0])
    return None


def _written(file: WrittenFile, starter: Program) -> Program:
    """Return the script that a cell writes, with the places of the cell."""
    index = file.span.cell
    whole = next(cell.text for cell in starter.document.cells if cell.index == index)
    above = whole.count("\n", 0, max(whole.rfind(file.text), 0))
    text = "\n" * above + file.text
    return parse(Document(starter.document.path, "script", (Cell(index, text),)))


def distinct(runs: Iterable[Run]) -> tuple[Run, ...]:
    """Return the runs that differ in place or in any value, the first of equal ones."""
    found: dict[str, Run] = {}
    for run in runs:
        values = {name: alternatives(setting) for name, setting in run.settings.items()}
        found.setdefault(repr((run.span.start, run.span.cell, values)), run)
    return tuple(found.values())
