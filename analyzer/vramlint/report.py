"""The report: what the analysis of some files found. Plain data; renderers decide how it looks."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from vramlint.rules.finding import Finding
    from vramlint.rules.subject import Subject


@dataclass(frozen=True, slots=True)
class FileReport:
    """One file: its runs in the order of the text, and its findings sorted by place.

    `sources` are the contents of files that the findings stand in, for the formats that want them.
    """

    path: str
    runs: tuple[Subject, ...]
    findings: tuple[Finding, ...]
    sources: Mapping[str, bytes] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Report:
    """All files, in the order they were asked for."""

    files: tuple[FileReport, ...]
