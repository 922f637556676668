"""The report as one JSON document: the public contract, version 1. All memory is in bytes."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from vramlint import __version__
from vramlint.facts.setting import Known, OneOf
from vramlint.plan.names import REPORTED

if TYPE_CHECKING:
    from collections.abc import Sequence

    from vramlint.facts.launch import Launch
    from vramlint.facts.setting import Origin, Setting
    from vramlint.memory.estimate import Estimate, Range
    from vramlint.memory.ledger import Term
    from vramlint.render.style import Style
    from vramlint.report import FileReport, Report
    from vramlint.rules.finding import Edit, Finding, Fix, Related
    from vramlint.rules.subject import Subject
    from vramlint.source.spans import Position, Span

VERSION = 1


def render(report: Report, errors: Sequence[str], style: Style) -> str:
    """Return the document of a check."""
    return frame([piece(file, style) for file in report.files], errors, style)


def piece(file: FileReport, style: Style) -> dict[str, Any]:
    """Return a file's part of the document."""
    part = {
        "path": file.path,
        "runs": [run(subject, style) for subject in file.runs],
        "findings": [_finding(finding) for finding in file.findings],
    }
    plain: dict[str, Any] = json.loads(json.dumps(part, default=_plain))
    return plain


def frame(pieces: Sequence[dict[str, Any]], errors: Sequence[str], _: Style) -> str:
    """Return the document around the parts of all files."""
    return _text(document(errors) | {"files": list(pieces)})


def render_errors(errors: Sequence[str]) -> str:
    """Return the document of a command that could not start."""
    return _text(document(errors) | {"files": []})


def render_run(file: FileReport, style: Style) -> str:
    """Return the run object of a plan, with the findings on it."""
    return _text(_planned(file, style))


def render_runs(files: Sequence[FileReport], style: Style) -> str:
    """Return a list of run objects."""
    return _text([_planned(file, style) for file in files])


def _planned(file: FileReport, style: Style) -> dict[str, Any]:
    return run(file.runs[0], style) | {"findings": [_finding(finding) for finding in file.findings]}


def document(errors: Sequence[str]) -> dict[str, Any]:
    """Return what every document begins with."""
    return {
        "version": VERSION,
        "tool": {"name": "vramlint", "version": __version__},
        "errors": [{"message": error} for error in errors],
    }


def run(subject: Subject, style: Style) -> dict[str, Any]:
    """Return a run: its settings, its memory (null where it cannot be said, with the reason) and the GPU."""
    place = subject.run.span
    return {
        "kind": subject.run.kind,
        "frameworks": list(subject.run.frameworks),
        "path": place.path,
        "cell": place.cell,
        "line": place.start.line,
        "launch": _launch(subject.run.launch),
        "settings": {name: _setting(subject.run.settings.get(name)) for name in _names(subject)},
        "memory": None if subject.estimate is None else _memory(subject.estimate, style),
        "reason": subject.why_not,
        "gpu": _gpu(subject),
    }


def _launch(launch: Launch | None) -> dict[str, Any] | None:
    """Return the command that a run is read with; path and line are null for one that an option gives."""
    if launch is None:
        return None
    span = launch.span
    return {
        "path": span.path if span else None,
        "cell": span.cell if span else None,
        "line": span.start.line if span else None,
        "command": launch.command,
    }


def _names(subject: Subject) -> tuple[str, ...]:
    further = (name for name in subject.run.settings if name not in REPORTED)
    return (*REPORTED, *further)


def _setting(setting: Setting[Any] | None) -> dict[str, Any]:
    if isinstance(setting, Known):
        return _answer("known", setting.value, [setting.value], None, setting.origin)
    if isinstance(setting, OneOf):
        values = [known.value for known in setting.alternatives]
        return _answer("one-of", values[0], values, setting.reason, setting.alternatives[0].origin)
    if setting is None:
        return _answer("unknown", None, [], "not read", None)
    return _answer("unknown", None, [], setting.reason, setting.origin)


def _answer(
    status: str, value: object, values: list[Any], reason: str | None, origin: Origin | None
) -> dict[str, Any]:
    return {
        "status": status,
        "value": value,
        "values": values,
        "reason": reason,
        "origin": None if origin is None else _origin(origin),
    }


def _origin(origin: Origin) -> dict[str, Any]:
    span = origin.span
    return {
        "kind": origin.kind,
        "path": span.path if span else None,
        "cell": span.cell if span else None,
        "line": span.start.line if span else None,
        "column": span.start.column if span else None,
        "detail": origin.detail,
    }


def _memory(estimate: Estimate, style: Style) -> dict[str, Any]:
    allocated = estimate.allocated
    phases = {name: {"peak": phase.peak, "end": phase.end} for name, phase in estimate.phases.items()}
    return {
        "peak": {"low": allocated.low, "expected": allocated.expected, "high": allocated.high},
        "phase": estimate.phase,
        "allocated": allocated.expected,
        "reserved": estimate.reserved.expected,
        "device": estimate.device.expected,
        "range": {
            "allocated": _ends(allocated),
            "reserved": _ends(estimate.reserved),
            "device": _ends(estimate.device),
        },
        "phases": phases,
        "terms": [_term(term) for term in estimate.ledger.terms],
        "timeline": _timeline(estimate) if style.timeline else None,
        "parameters": estimate.parameters,
        "trainable_parameters": estimate.trainable_parameters,
        "assumptions": list(estimate.assumptions),
    }


def _ends(figures: Range) -> list[int]:
    return [figures.low, figures.high]


def _timeline(estimate: Estimate) -> list[dict[str, Any]]:
    return [
        {"t": moment.t, "phase": moment.phase, "bytes": moment.bytes, "label": moment.label}
        for moment in estimate.timeline
    ]


def _term(term: Term) -> dict[str, Any]:
    return {
        "name": term.name,
        "group": term.group,
        "bytes": term.bytes,
        "formula": term.formula,
        "at_peak": term.at_peak,
        "phases": sorted(term.phases),
        "citation": term.citation,
        "origin": [_origin(origin) for origin in term.origins],
    }


def _gpu(subject: Subject) -> dict[str, Any] | None:
    if subject.gpu is None:
        return None
    return {"name": subject.gpu.name, "bytes": subject.gpu.bytes, "fits": subject.fits}


def _finding(finding: Finding) -> dict[str, Any]:
    return {
        "rule": finding.rule,
        "severity": finding.severity,
        "confidence": finding.confidence,
        "message": finding.message,
        **_place(finding.span),
        "related": [_related(related) for related in finding.related],
        "fixes": [_fix(fix) for fix in finding.fixes],
        "run": finding.run,
    }


def _related(related: Related) -> dict[str, Any]:
    return {"message": related.message, **_place(related.span)}


def _fix(fix: Fix) -> dict[str, Any]:
    edits = [_edit(edit) for edit in fix.edits]
    return {"title": fix.title, "saving": fix.saving, "safety": fix.safety, "edits": edits}


def _edit(edit: Edit) -> dict[str, Any]:
    return {**_place(edit.span), "text": edit.text}


def _place(span: Span) -> dict[str, Any]:
    return {
        "path": span.path,
        "cell": span.cell,
        "start": _position(span.start),
        "end": _position(span.end),
    }


def _position(position: Position) -> dict[str, int]:
    return {"line": position.line, "column": position.column}


def _text(value: object) -> str:
    return json.dumps(value, ensure_ascii=False, indent=2, default=_plain)


def _plain(value: object) -> object:
    """Turn what a setting may hold beside JSON's own types into them; an unknown object becomes its text."""
    dump = getattr(value, "model_dump", None)
    if dump is not None:
        return dump(mode="json", by_alias=True)
    return dict(value) if hasattr(value, "keys") else str(value)  # type: ignore[call-overload]
