"""What `%vramlint` returns: shown as HTML in a notebook and as text in a terminal, and usable as JSON."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

from vramlint.cli import output
from vramlint.notebook.facts import lines
from vramlint.render import json as json_format
from vramlint.render import text as text_format
from vramlint.render.style import Style
from vramlint.report import Report

if TYPE_CHECKING:
    from vramlint.notebook.live import Live
    from vramlint.report import FileReport


@dataclass(frozen=True)
class Result:
    """A report on the session, and what the kernel holds."""

    report: FileReport
    live: Live
    timeline: bool = False

    @cached_property
    def document(self) -> dict[str, Any]:
        """Return the report as `vramlint check --format json` writes it; `vramlint.watch` takes it too."""
        text = json_format.render(Report((self.report,)), (), Style(timeline=True))
        document: dict[str, Any] = json.loads(text)
        return document

    def __repr__(self) -> str:
        """Return the page of text that a terminal shows."""
        style = output.style(timeline=self.timeline)
        if not self.report.runs and not self.report.findings:
            said = "vramlint: what was executed so far trains and generates nothing."
        else:
            said = text_format.render(Report((self.report,)), (), style)
        return "\n".join([said, *lines(self.live, self.report)])

    def _repr_html_(self) -> str:
        from vramlint.notebook.page import html  # noqa: PLC0415  only where HTML is shown

        return html(self.report, self.live)
