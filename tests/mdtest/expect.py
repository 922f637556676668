"""What a page expects of a report, line by line, and where the report differs."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, cast

from tests.mdtest.page import PageError

from vramlint.facts.setting import Known, OneOf, Origin, Setting, Unknown

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.mdtest.page import Block, Case

    from vramlint.report import FileReport
    from vramlint.rules.finding import Finding

Kind = Literal["fact", "one-of", "unknown", "error", "warning", "info", "hint"]

_MARKER = re.compile(r"#\s*(?P<kind>fact|one-of|unknown|error|warning|info|hint):\s*")
_SETTING = re.compile(r"(?P<key>[a-z_][\w.]*)\s*=\s*(?P<value>.+)")
_UNKNOWN = re.compile(r'(?P<key>[a-z_][\w.]*)\s*(?:"(?P<reason>[^"]*)")?')
_FINDING = re.compile(r'\[(?P<rule>[\w-]+)\]\s*(?:"(?P<message>.*)")?')
_FACT_LINE = re.compile(r"(?P<key>[a-z_][\w.]*)\s*=\s*(?P<value>.+?)(?:\s+from\s+(?P<kind>[a-z-]+))?\s*")
_SHORT = ("id", "name", "kind", "class", "config")
_MISSING = object()


@dataclass(frozen=True, slots=True)
class Place:
    """A line of the document under test: `cell` is None outside notebooks. `page_line` is where to look."""

    cell: int | None
    line: int
    page_line: int


@dataclass(frozen=True, slots=True)
class Expectation:
    """One marker: `name` is a key or a rule, `value` the setting's, a reason, or part of a message."""

    kind: Kind
    name: str
    value: Any
    place: Place


def expectations(case: Case) -> Iterator[Expectation]:
    """Yield the markers of a case's script, in order.

    Raises:
        PageError: for a marker that is not well-formed.
    """
    for place, line in _lines(case):
        markers = list(_MARKER.finditer(line))
        ends = [marker.start() for marker in markers[1:]] + [len(line)]
        for marker, end in zip(markers, ends, strict=False):
            yield _expectation(cast("Kind", marker["kind"]), line[marker.end() : end].strip(), place)


def differences(case: Case, report: FileReport) -> Iterator[str]:
    """Yield a line for everything in which the report is not what the markers say."""
    expected = list(expectations(case))
    for expectation in expected:
        if expectation.kind in {"fact", "one-of", "unknown"}:
            yield from _setting_difference(expectation, report, case.path)
    yield from _finding_differences(expected, report, case)


def fact_differences(block: Block, report: FileReport) -> Iterator[str]:
    """Yield a line for each `key = value [from kind]` of a `facts` block that no run has."""
    for number, line in enumerate(block.text.splitlines(), block.line):
        match = _FACT_LINE.fullmatch(line)
        if match is None:
            if line.strip():
                raise PageError(f"line {number}: {line!r} is no `key = value`")
            continue
        settings = _settings(report, match["key"])
        expected = _value(match["value"])
        if not any(
            isinstance(setting, Known)
            and is_equal(expected, _inner(setting.value, match["key"]))
            and match["kind"] in {None, setting.origin.kind}
            for setting in settings
        ):
            yield f"line {number}: expected {line.strip()}, {_found(settings, match['key'])}"


def is_equal(expected: object, actual: object) -> bool:
    """Compare a page's value with a setting's.

    A table need only hold the expected keys; a bare word stands for an object's id, name or kind.
    """
    if isinstance(expected, Mapping):
        return all(is_equal(value, _get(actual, key)) for key, value in expected.items())
    if isinstance(expected, list):
        if not isinstance(actual, Sequence) or isinstance(actual, str) or len(expected) != len(actual):
            return False
        return all(is_equal(left, right) for left, right in zip(expected, actual, strict=True))
    if isinstance(expected, str) and not isinstance(actual, str):
        return any(expected == _get(actual, key) for key in _SHORT)
    return isinstance(expected, bool) == isinstance(actual, bool) and expected == actual


def _lines(case: Case) -> Iterator[tuple[Place, str]]:
    for index, block in enumerate(case.script):
        cell = index if block.is_cell else None
        for number, line in enumerate(block.text.splitlines()):
            yield Place(cell, number + 1, block.line + number), line


def _expectation(kind: Kind, text: str, place: Place) -> Expectation:
    if kind in {"fact", "one-of"} and (match := _SETTING.fullmatch(text)):
        return Expectation(kind, match["key"], _value(match["value"]), place)
    if kind == "unknown" and (match := _UNKNOWN.fullmatch(text)):
        return Expectation(kind, match["key"], match["reason"] or "", place)
    if kind not in {"fact", "one-of", "unknown"} and (match := _FINDING.fullmatch(text)):
        return Expectation(kind, match["rule"], match["message"] or "", place)
    raise PageError(f"line {place.page_line}: {kind}: {text!r} is not written as the README says")


def _setting_difference(expected: Expectation, report: FileReport, path: str) -> Iterator[str]:
    settings = _settings(report, expected.name)
    if not any(_agrees(expected, setting, path) for setting in settings):
        wanted = f"{expected.kind} {expected.name} {json.dumps(expected.value)} on line {expected.place.line}"
        yield f"line {expected.place.page_line}: expected {wanted}, {_found(settings, expected.name)}"


def _agrees(expected: Expectation, setting: Setting[Any], path: str) -> bool:
    match setting:
        case Known():
            return (
                expected.kind == "fact"
                and _is_here(expected, setting.origin, path)
                and _has(expected, setting)
            )
        case OneOf():
            alternatives = [_inner(one.value, expected.name) for one in setting.alternatives]
            here = any(_is_here(expected, one.origin, path) for one in setting.alternatives)
            return expected.kind == "one-of" and here and _is_permutation(expected.value, alternatives)
        case Unknown():
            here = setting.origin is None or _is_here(expected, setting.origin, path)
            return expected.kind == "unknown" and here and expected.value in setting.reason


def _has(expected: Expectation, setting: Known[Any]) -> bool:
    return is_equal(expected.value, _inner(setting.value, expected.name))


def _is_here(expected: Expectation, origin: Origin, path: str) -> bool:
    span = origin.span
    if span is None or span.path != path:
        return False
    return (span.cell, span.start.line) == (expected.place.cell, expected.place.line)


def _is_permutation(expected: object, actual: list[Any]) -> bool:
    if not isinstance(expected, list) or len(expected) != len(actual):
        return False
    return all(any(is_equal(value, other) for other in actual) for value in expected)


def _finding_differences(expected: list[Expectation], report: FileReport, case: Case) -> Iterator[str]:
    left = list(report.findings)
    for expectation in expected:
        if expectation.kind in {"fact", "one-of", "unknown"}:
            continue
        found = next((finding for finding in left if _is_expected(expectation, finding)), None)
        if found is None:
            wanted = f'{expectation.kind}: [{expectation.name}] "{expectation.value}"'
            yield f"line {expectation.place.page_line}: expected {wanted}, which nobody found here"
        else:
            left.remove(found)
    for finding in left:
        line = _page_line(finding, case)
        yield f'line {line}: unexpected {finding.severity}: [{finding.rule}] "{finding.message}"'


def _is_expected(expected: Expectation, finding: Finding) -> bool:
    return (
        (expected.kind, expected.name) == (finding.severity, finding.rule)
        and (expected.place.cell, expected.place.line) == (finding.span.cell, finding.span.start.line)
        and expected.value in finding.message
    )


def _page_line(finding: Finding, case: Case) -> int:
    block = case.script[finding.span.cell or 0]
    return block.line + finding.span.start.line - 1


def _settings(report: FileReport, key: str) -> list[Setting[Any]]:
    name = key.split(".", maxsplit=1)[0]
    return [subject.run.settings[name] for subject in report.runs if name in subject.run.settings]


def _found(settings: list[Setting[Any]], key: str) -> str:
    if not settings:
        return "but no run has that setting"
    return "found " + " and ".join(_shown(setting, key) for setting in settings)


def _shown(setting: Setting[Any], key: str) -> str:
    match setting:
        case Known():
            return f"{_inner(setting.value, key)!r} ({_where(setting.origin)})"
        case OneOf():
            return "one of " + ", ".join(_shown(one, key) for one in setting.alternatives)
        case Unknown():
            return f"unknown: {setting.reason}"


def _where(origin: Origin) -> str:
    if origin.span is None:
        return f"{origin.kind}: {origin.detail}"
    cell = "" if origin.span.cell is None else f"cell {origin.span.cell}, "
    return f"{origin.kind}: {origin.detail}; {origin.span.path}, {cell}line {origin.span.start.line}"


def _value(text: str) -> Any:
    """Return JSON, or else the bare word itself."""
    try:
        return json.loads(text)
    except ValueError:
        return text.strip()


def _inner(value: object, key: str) -> Any:
    for part in key.split(".")[1:]:
        value = _get(value, part)
    return value


def _get(value: object, key: str) -> Any:
    if isinstance(value, Mapping):
        return value.get(key, _MISSING)
    return getattr(value, key, _MISSING)
