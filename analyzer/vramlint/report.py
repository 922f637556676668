"""The report: what the analysis of some files found. Plain data; renderers decide how it looks."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from vramlint.rules.finding import Finding
    from vramlint.rules.subject import Subject


@dataclass(frozen=True, slots=True)
class FileReport:
    """One file: its runs in the order of the text, and its findings sorted by place."""

    path: str
    runs: tuple[Subject, ...]
    findings: tuple[Finding, ...]


@dataclass(frozen=True, slots=True)
class Report:
    """All files, in the order they were asked for."""

    files: tuple[FileReport, ...]
