"""Findings out of what the frontends saw in the text: each rule takes the remarks that carry its name."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vramlint.rules.finding import Finding, Related

if TYPE_CHECKING:
    from collections.abc import Iterator

    from vramlint.frontends.base import Remark
    from vramlint.rules.finding import Confidence, Severity
    from vramlint.rules.subject import Subject


def findings(
    subject: Subject, rule: str, severity: Severity, confidence: Confidence = "high"
) -> Iterator[Finding]:
    """Yield a finding for each remark of a run that is for a rule."""
    for remark in subject.run.remarks:
        if remark.rule == rule:
            yield Finding(rule, severity, confidence, remark.message, remark.span, _related(remark))


def _related(remark: Remark) -> tuple[Related, ...]:
    origin = remark.related
    return (Related(origin.span, origin.detail),) if origin is not None and origin.span is not None else ()
