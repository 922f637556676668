"""The report as HTML for a notebook: verdict, breakdown, course of the memory, findings with fixes; no scripts."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING

from vramlint.facts.setting import Known, OneOf
from vramlint.memory.course import course
from vramlint.memory.errors import CannotEstimate
from vramlint.notebook.facts import facts
from vramlint.render._values import origin_text, place_text, value_text
from vramlint.rules.subject import fits
from vramlint.shim import chart
from vramlint.shim.style import page
from vramlint.units import count, gigabytes
from vramlint.wording import moment, short_name

if TYPE_CHECKING:
    from collections.abc import Iterator

    from vramlint.facts.setting import Setting
    from vramlint.memory.estimate import Estimate
    from vramlint.memory.ledger import Term
    from vramlint.notebook.live import Live
    from vramlint.report import FileReport
    from vramlint.rules.finding import Finding
    from vramlint.rules.subject import Subject

_TRACK = 180
_SMALL = 0.01
"""Terms below this part of the peak are told in one line together."""
_TONES = {"error": "bad", "warning": "doubt", "info": "faint", "hint": "faint"}
_VERDICTS = {
    "yes": ("good", "Fits"),
    "no": ("bad", "Does not fit"),
    "maybe": ("doubt", "May not fit"),
    "unknown": ("doubt", "Unknown whether it fits"),
}


def html(report: FileReport, live: Live) -> str:
    """Return the report of a session."""
    runs = "".join(part for subject in report.runs for part in _run(subject))
    nothing = (
        "" if runs or report.findings else "<p>What was executed so far trains and generates nothing.</p>"
    )
    return page(nothing, runs, *(_finding(finding) for finding in report.findings), _live(live, report))


def _run(subject: Subject) -> Iterator[str]:
    frameworks = f" with {', '.join(subject.run.frameworks)}" if subject.run.frameworks else ""
    kind = {"train": "Training", "inference": "Inference"}[subject.run.kind]
    yield f'<h4>{kind}{escape(frameworks)} <span class="faint">{escape(place_text(subject.run.span))}</span></h4>'
    if subject.estimate is None:
        yield f'<p class="doubt">The memory cannot be said: {escape(subject.why_not or "")}</p>'
    else:
        yield _verdict(subject, subject.estimate)
        yield _figures(subject.estimate)
        yield _breakdown(subject.estimate)
        yield _course(subject)
    yield _settings(subject)


def _verdict(subject: Subject, estimate: Estimate) -> str:
    if subject.gpu is None:
        return f"<p>{_common(subject, estimate)}</p>"
    tone, words = _VERDICTS[subject.fits]
    kept = f", {gigabytes(subject.reserve)} of it taken or kept free" if subject.reserve else ""
    need = f"device memory {gigabytes(estimate.device.expected)} of {gigabytes(subject.gpu.bytes)}{kept}"
    return f'<p><span class="strong {tone}">{words} the {escape(short_name(subject.gpu))}</span>: {need}</p>'


def _common(subject: Subject, estimate: Estimate) -> str:
    from vramlint.knowledge import gpus  # noqa: PLC0415  only where no GPU was named

    names = [short_name(gpu) for gpu in gpus.common() if fits(estimate, gpu, subject.reserve) == "yes"]
    told = f"Fits {escape(', '.join(names))}" if names else "Fits no single GPU that is common"
    return f'{told} <span class="faint">(no GPU was named: <code>%vramlint --gpu NAME</code>)</span>'


def _figures(estimate: Estimate) -> str:
    rows = (
        ("allocated", estimate.allocated, f"peak of torch's tensors, {moment(estimate.phase)}"),
        ("reserved", estimate.reserved, "with rounding and fragmentation"),
        ("device", estimate.device, "with the CUDA context: what nvidia-smi shows"),
    )
    cells = "".join(
        f'<tr><td>{name}</td><td class="n strong">{gigabytes(figures.expected)}</td>'
        f'<td class="n faint">{gigabytes(figures.low)} to {gigabytes(figures.high)}</td>'
        f'<td class="faint">{meaning}</td></tr>'
        for name, figures, meaning in rows
    )
    return f"<table>{cells}</table>"


def _breakdown(estimate: Estimate) -> str:
    peak = max(estimate.ledger.peak, 1)
    alive = sorted(
        (t for t in estimate.ledger.terms if t.at_peak), key=lambda term: (-abs(term.bytes), term.name)
    )
    large = [term for term in alive if abs(term.bytes) >= _SMALL * peak]
    rest = sum(term.bytes for term in alive) - sum(term.bytes for term in large)
    rows = "".join(_term(term, peak) for term in large)
    if rest:
        few = f"{len(alive) - len(large)} smaller"
        rows += f'<tr class="faint"><td>{few}</td><td class="n">{gigabytes(rest)}</td><td></td><td></td></tr>'
    total = f"{count(estimate.parameters)} parameters, {count(estimate.trainable_parameters)} of them trained"
    return f'<h4>Allocated at that moment</h4><table>{rows}</table><div class="faint">{total}</div>'


def _term(term: Term, peak: int) -> str:
    width = max(_TRACK * term.bytes // peak, 0)
    color = chart.COLORS.get(term.group, "#8a8a8a")
    places = [place_text(origin.span) for origin in term.origins if origin.span is not None]
    return (
        f'<tr><td>{escape(term.name)}</td><td class="n">{gigabytes(term.bytes)}</td>'
        f'<td class="track"><span class="bar" style="width:{width}px;background:{color}"></span></td>'
        f'<td class="faint">{escape(term.formula)}<br>{escape(places[0]) if places else ""}</td></tr>'
    )


def _course(subject: Subject) -> str:
    if not subject.plans:
        return ""
    try:
        points = course(subject.plans[0], subject.gpu)
    except CannotEstimate:
        return ""
    limit = None if subject.gpu is None else subject.gpu.bytes - subject.reserve
    drawn = chart.course(
        [
            chart.Moment(one.phase, one.step, {str(part): size for part, size in one.bytes.items()})
            for one in points
        ],
        limit,
    )
    used = {group for one in points for group, size in one.bytes.items() if size}
    legend = " ".join(
        f'<span class="bar" style="width:11px;background:{color}"></span> {group.replace("-", " ")}'
        for group, color in chart.COLORS.items()
        if group in used
    )
    return f'<h4>Over the first steps</h4>{drawn}<div class="faint">{legend}</div>'


def _settings(subject: Subject) -> str:
    rows = "".join(_setting(name, one, subject.run.span.path) for name, one in subject.run.settings.items())
    return f"<details><summary>Settings, and where each comes from</summary><table>{rows}</table></details>"


def _setting(name: str, setting: Setting[object], path: str) -> str:
    if isinstance(setting, Known):
        mark = ' <span class="badge good">measured</span>' if setting.origin.kind == "measured" else ""
        value, origin = escape(value_text(name, setting.value)) + mark, origin_text(setting.origin, path)
    elif isinstance(setting, OneOf):
        values = " or ".join(value_text(name, known.value) for known in setting.alternatives)
        value, origin = f'<span class="doubt">one of {escape(values)}</span>', setting.reason
    else:
        value, origin = '<span class="doubt">unknown</span>', setting.reason
    return f'<tr><td>{name}</td><td>{value}</td><td class="faint">{escape(origin)}</td></tr>'


def _finding(finding: Finding) -> str:
    tone = _TONES[finding.severity]
    fixes = "".join(
        f'<tr><td class="n good">saves {gigabytes(fix.saving)}</td><td>{escape(fix.title)}</td></tr>'
        for fix in finding.fixes
    )
    table = f"<table>{fixes}</table>" if fixes else ""
    return (
        f'<div class="finding"><span class="strong {tone}">{finding.severity} {finding.rule}</span> '
        f'<span class="faint">{escape(place_text(finding.span))}</span><br>{escape(finding.message)}{table}</div>'
    )


def _live(live: Live, report: FileReport) -> str:
    rows = "".join(
        f'<tr><td>{escape(fact.what)} <span class="badge good">measured</span></td><td>{escape(fact.value)}</td>'
        f'<td class="faint">{escape(fact.beside)}</td></tr>'
        for fact in facts(live, report)
    )
    return f"<h4>In this kernel</h4><table>{rows}</table>" if rows else ""
