"""Markdown for a comment on a pull request: a table of runs, what fills the memory of each, and the findings."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from vramlint.render._findings import clean_path, rule_page
from vramlint.render._values import place_text, value_text
from vramlint.units import gigabytes
from vramlint.wording import group_name, moment, short_name

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from vramlint.memory.estimate import Estimate
    from vramlint.memory.ledger import Group
    from vramlint.render.style import Style
    from vramlint.report import FileReport, Report
    from vramlint.rules.finding import Finding
    from vramlint.rules.subject import Subject

_SIGNS = {"yes": "✅ fits", "no": "❌ does not fit", "maybe": "⚠️ may not fit", "unknown": "?"}
_SEVERITIES = {"error": "❌ error", "warning": "⚠️ warning", "info": "info", "hint": "hint"}
_BAR = 24
# GitHub takes 65,536 characters in a comment.
_MOST = 60_000


def render(report: Report, errors: Sequence[str], style: Style) -> str:
    """Return the comment."""
    return frame([piece(file, style) for file in report.files], errors, style)


def piece(file: FileReport, _: Style) -> dict[str, Any]:
    """Return the rows, charts and findings of one file."""
    return {
        "rows": [_row(subject) for subject in file.runs],
        "charts": [chart for subject in file.runs for chart in _chart(subject)],
        "findings": ["\n".join(_finding(finding)) for finding in file.findings],
    }


def frame(pieces: Sequence[dict[str, Any]], errors: Sequence[str], _: Style) -> str:
    """Return the comment around the parts of all files; what GitHub would not take is left out and counted."""
    rows = [row for piece in pieces for row in piece["rows"]]
    findings = [finding for piece in pieces for finding in piece["findings"]]
    head = "## GPU memory\n\n" + "".join(f"**{text(error)}**\n\n" for error in errors)
    if not rows and not findings:
        return f"{head}{len(pieces)} files, no training or generation found."
    parts = [*_table(rows), *findings, *(chart for piece in pieces for chart in piece["charts"])]
    return head + "\n\n".join(_within(parts, _MOST - len(head)))


def text(words: str) -> str:
    """Return words that Markdown and HTML leave as they are."""
    plain = words.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return re.sub(r"([\\`*_\[\]|~#])", r"\\\1", plain).replace("\n", " ")


def code(words: str) -> str:
    """Return words as code in a table's cell."""
    fence = "``" if "`" in words else "`"
    return f"{fence}{words}{fence}".replace("|", "\\|").replace("\n", " ")


def bar(size: int, whole: int) -> str:
    """Return a bar of at most `_BAR` columns."""
    return "█" * max(round(_BAR * size / whole), 1) if whole else ""


def _table(rows: Sequence[str]) -> list[str]:
    if not rows:
        return []
    head = "| run | model | allocated peak | device | GPU |\n|---|---|---:|---:|---|"
    return ["\n".join([head, *rows])]


def _row(subject: Subject) -> str:
    place = code(place_text(subject.run.span))
    model = subject.run.settings.get("model")
    named = text(value_text("model", getattr(model, "value", None))) if model is not None else "?"
    named = named if getattr(model, "value", None) is not None else "?"
    if subject.estimate is None:
        return f"| {place} | {named} | unknown: {text(subject.why_not or '')} | | |"
    estimate = subject.estimate
    peak = f"{gigabytes(estimate.allocated.expected)} {moment(estimate.phase)}"
    device = gigabytes(estimate.device.expected)
    gpu = "" if subject.gpu is None else f"{text(short_name(subject.gpu))}: {_SIGNS[subject.fits]}"
    return f"| {place} | {named} | {peak} | {device} | {gpu} |"


def _chart(subject: Subject) -> Iterator[str]:
    if subject.estimate is None:
        return
    place = text(place_text(subject.run.span))
    lines = "\n".join(_bars(subject.estimate))
    yield (
        f"<details><summary>What fills the memory of {place} at its peak (allocated)</summary>\n\n"
        f"```text\n{lines}\n```\n\n</details>"
    )


def _bars(estimate: Estimate) -> Iterator[str]:
    groups: dict[Group, int] = {}
    for term in estimate.ledger.terms:
        if term.at_peak:
            groups[term.group] = groups.get(term.group, 0) + term.bytes
    for group, size in sorted(groups.items(), key=lambda item: -item[1]):
        yield f"{group_name(group):<18}{gigabytes(size):>9}  {bar(size, estimate.ledger.peak)}"


def _finding(finding: Finding) -> Iterator[str]:
    place = code(place_text(finding.span))
    rule = f"[{finding.rule}]({rule_page(finding.rule)})"
    yield f"{_SEVERITIES[finding.severity]} {rule} in {place}: {text(finding.message)}"
    if finding.related or finding.fixes:
        yield ""
    for related in finding.related:
        yield f"- {code(clean_path(place_text(related.span)))} {text(related.message)}"
    for fix in finding.fixes:
        yield f"- saves {gigabytes(fix.saving)}: {text(fix.title)}"


def _within(parts: Sequence[str], room: int) -> Iterator[str]:
    for index, part in enumerate(parts):
        room -= len(part) + 2
        if room < 0:
            yield f"{len(parts) - index} more parts are left out."
            return
        yield part
