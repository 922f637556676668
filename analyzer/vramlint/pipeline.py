"""From a document to its report: the whole story of the analysis."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

from vramlint.report import FileReport
from vramlint.rules import internal_error, malformed_comment, syntax_error, unreadable_file, unusable_setting
from vramlint.settings import Settings
from vramlint.source.neighbours import InMemory
from vramlint.source.relevance import is_relevant, leads_to_training

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from vramlint.memory.estimate import Estimate
    from vramlint.plan.concrete import Concrete
    from vramlint.plan.document import Plan
    from vramlint.plan.run import Run
    from vramlint.rules.finding import Finding
    from vramlint.rules.subject import Subject
    from vramlint.source.document import Document
    from vramlint.source.issue import Issue
    from vramlint.source.neighbours import Neighbours
    from vramlint.source.pragmas import Ignore
    from vramlint.source.spans import Span

_ISSUE_RULES = {"syntax-error": syntax_error.finding, "malformed-pragma": malformed_comment.finding}


def analyze(
    document: Document,
    settings: Settings | None = None,
    neighbours: Neighbours | Mapping[str, str | bytes] | None = None,
    issues: Sequence[Issue] = (),
) -> FileReport:
    """Return the report of one file; it never raises, and nothing of the file is executed.

    `neighbours` reads the files that belong to it, or is a mapping from path to content; `issues` are
    what reading it met.
    """
    try:
        return _analyze(document, settings or Settings(), _reader(neighbours), issues)
    except Exception as error:  # noqa: BLE001  a bug of ours must not hide the other files
        return FileReport(document.path, (), (internal_error.finding(document.path, error),))


def _analyze(
    document: Document, settings: Settings, neighbours: Neighbours, issues: Sequence[Issue]
) -> FileReport:
    unreadable = tuple(_issue_finding(issue) for issue in issues)
    if not (is_relevant(document) or leads_to_training(document, neighbours)):
        return FileReport(document.path, (), unreadable)

    from vramlint.plan import resolve  # noqa: PLC0415  most files are not about training
    from vramlint.plan.hub import with_configs  # noqa: PLC0415
    from vramlint.plan.names import SETTINGS  # noqa: PLC0415
    from vramlint.plan.read import PlanError  # noqa: PLC0415
    from vramlint.rules.catalogue import rules  # noqa: PLC0415
    from vramlint.source.parse import parse  # noqa: PLC0415
    from vramlint.source.pragmas import pragmas  # noqa: PLC0415

    program = parse(document)
    comments = pragmas(document, rules(), SETTINGS)
    try:
        runs = resolve.runs(program, neighbours, settings)
    except PlanError as error:  # an option that does not suit this script; comments never raise
        return FileReport(document.path, (), (unusable_setting.finding(document.path, str(error)),))
    subjects = tuple(judge(with_configs(run, neighbours), settings) for run in runs)
    broken = (_issue_finding(issue) for issue in (*program.issues, *comments.issues))
    findings = [*unreadable, *broken, *_run_findings(subjects)]
    return FileReport(document.path, subjects, _reported(findings, comments.ignores, settings))


def _reader(neighbours: Neighbours | Mapping[str, str | bytes] | None) -> Neighbours:
    if isinstance(neighbours, Mapping):
        return InMemory(neighbours)
    return neighbours or InMemory()


def judge(run: Run, settings: Settings) -> Subject:
    """Return a run with its plans, their estimate, and whether it fits the GPU of the settings."""
    run, found = planned(run)
    return _judged(run, found, settings)


def planned(run: Run) -> tuple[Run, Concrete]:
    """Return a run with its plans, which carry the program of a model class of the script's own."""
    from vramlint.plan.concrete import Concrete, concrete  # noqa: PLC0415

    if run.construction is None:
        return run, concrete(run)
    from vramlint.interpret.program import carried, completed, program_of  # noqa: PLC0415  few models need it
    from vramlint.memory.errors import CannotEstimate  # noqa: PLC0415

    program = program_of(run)
    try:
        run = completed(run, program)
    except CannotEstimate as reason:
        return run, Concrete((), str(reason))
    return run, carried(concrete(run), program)


def analyze_plan(run: Run, plan: Plan, settings: Settings) -> FileReport:
    """Return the report of a plan document: its run and the findings on it; it never raises."""
    from vramlint.plan.concrete import Concrete  # noqa: PLC0415

    path = run.span.path
    try:
        subject = _judged(run, Concrete((plan,)), settings)
        return FileReport(path, (subject,), _reported([*_run_findings([subject])], (), settings))
    except Exception as error:  # noqa: BLE001  as above
        finding = internal_error.finding(path, error)
        return FileReport(path, (_unjudged(run, plan, finding.message, settings),), (finding,))


def _unjudged(run: Run, plan: Plan, why_not: str, settings: Settings) -> Subject:
    from vramlint.rules.subject import Subject  # noqa: PLC0415

    return Subject(run, None, why_not, settings.gpu, "unknown", (plan,))


def _judged(run: Run, found: Concrete, settings: Settings) -> Subject:
    from vramlint.rules.blame import with_causes  # noqa: PLC0415
    from vramlint.rules.subject import Subject, fits  # noqa: PLC0415

    estimate, why_not = (None, found.why_not) if found.why_not else _estimate(found.plans, settings)
    estimate = estimate and with_causes(estimate, run)
    verdict = fits(estimate, settings.gpu, settings.reserve)
    return Subject(
        run=run,
        estimate=estimate,
        why_not=why_not,
        gpu=settings.gpu,
        fits=verdict,
        plans=found.plans,
        deciding=found.deciding,
        reserve=settings.reserve,
        budget=settings.max_peak,
    )


def _estimate(plans: Sequence[Plan], settings: Settings) -> tuple[Estimate | None, str | None]:
    from vramlint.memory.engine import CannotEstimate, estimate_all  # noqa: PLC0415

    try:
        return estimate_all(plans, settings.gpu), None
    except CannotEstimate as reason:
        return None, str(reason)


def _run_findings(subjects: Sequence[Subject]) -> Iterator[Finding]:
    """Yield what the rules say of each run; what runs share is said once, a hint once for its line."""
    from vramlint.rules.catalogue import check  # noqa: PLC0415

    said: set[tuple[str, str, Span]] = set()
    for index, subject in enumerate(subjects):
        for finding in check(subject):
            is_hint = finding.severity in {"info", "hint"}
            key = (finding.rule, "" if is_hint else finding.message, finding.span)
            if key not in said:
                said.add(key)
                yield replace(finding, run=index)


def _issue_finding(issue: Issue) -> Finding:
    make = _ISSUE_RULES.get(issue.kind, unreadable_file.finding)
    return make(issue.message, issue.span)


def _reported(
    findings: Sequence[Finding], ignores: Sequence[Ignore], settings: Settings
) -> tuple[Finding, ...]:
    """Leave out what options or a comment say to ignore, and sort by place."""
    kept = [
        finding
        for finding in findings
        if finding.rule not in settings.ignore
        and (not settings.select or finding.rule in settings.select)
        and not any(_silences(ignore, finding) for ignore in ignores)
    ]
    return tuple(sorted(kept, key=_place))


def _silences(ignore: Ignore, finding: Finding) -> bool:
    """A comment silences its rules, or all, in the file or on a line that the finding covers."""
    if ignore.rules and finding.rule not in ignore.rules:
        return False
    if ignore.line is None:
        return True
    span = finding.span
    return ignore.span.cell == span.cell and span.start.line <= ignore.line <= span.end.line


def _place(finding: Finding) -> tuple[int, int, int, str]:
    cell = -1 if finding.span.cell is None else finding.span.cell
    return (cell, finding.span.start.line, finding.span.start.column, finding.rule)
