"""What a change does to memory: runs before and after, the settings and terms that moved, and where."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import zip_longest
from typing import TYPE_CHECKING, Any

from vramlint.facts.setting import Known
from vramlint.plan.names import REPORTED
from vramlint.render._values import place_text, value_text
from vramlint.render.markdown import bar, code, text
from vramlint.units import gigabytes
from vramlint.wording import short_name

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from vramlint.rules.subject import Subject

_WORTH_SAYING = 10**6


@dataclass(frozen=True, slots=True)
class Change:
    """One run before and after; None where there is no such run."""

    before: Subject | None
    after: Subject | None

    @property
    def sizes(self) -> tuple[int | None, int | None]:
        """Return the allocated peaks in bytes."""
        return _peak(self.before), _peak(self.after)

    @property
    def increase(self) -> int | None:
        """Return how many bytes the peak grew; None where it cannot be compared."""
        before, after = self.sizes
        return None if before is None or after is None else after - before

    @property
    def place(self) -> str:
        """Return where the run stands, or stood."""
        subject = self.after or self.before
        assert subject is not None
        return place_text(subject.run.span)


def paired(before: Sequence[Subject], after: Sequence[Subject]) -> Iterator[Change]:
    """Pair runs by their kind and launch line, and in their order where these do not tell."""
    olds, news = list(before), list(after)
    if len(olds) != len(news):
        for new in list(news):
            old = next((old for old in olds if _key(old) == _key(new)), None)
            if old is not None:
                olds.remove(old)
                news.remove(new)
                yield Change(old, new)
    yield from (Change(old, new) for old, new in zip_longest(olds, news))


def moved_settings(change: Change) -> Iterator[str]:
    """Yield the settings whose value changed, with the line of the new one."""
    if change.before is None or change.after is None:
        return
    for name in REPORTED:
        old, new = (subject.run.settings.get(name) for subject in (change.before, change.after))
        told = [_setting_text(name, setting) for setting in (old, new)]
        if told[0] != told[1]:
            span = getattr(getattr(new, "origin", None), "span", None)
            yield f"{name} {told[0]} → {told[1]}" + (f" ({place_text(span)})" if span else "")


def moved_terms(change: Change) -> list[tuple[str, int]]:
    """Return the terms at the peak that changed, what moved most first; bytes."""
    before, after = _terms(change.before), _terms(change.after)
    names = dict.fromkeys((*before, *after))
    moved = [(name, after.get(name, 0) - before.get(name, 0)) for name in names]
    return sorted((one for one in moved if abs(one[1]) >= _WORTH_SAYING), key=lambda one: -abs(one[1]))


def as_text(changes: Sequence[Change]) -> str:
    """Return the changes as a person reads them."""
    if not changes:
        return "No run's memory changed."
    return "\n\n".join("\n".join(_story(change)) for change in changes)


def as_markdown(changes: Sequence[Change]) -> str:
    """Return the changes as a comment on a pull request."""
    if not changes:
        return "## GPU memory\n\nNo run's memory changed."
    head = "## GPU memory\n\n| run | before | after | change | |\n|---|---:|---:|---:|---|"
    rows = [
        f"| {code(change.place)} | {_size(change.sizes[0])} | {_size(change.sizes[1])} "
        f"| {_difference(change)} | {text(_verdict(change))} |"
        for change in changes
    ]
    return "\n".join([head, *rows, "", *(line for change in changes for line in _details(change))])


def as_document(changes: Sequence[Change]) -> list[dict[str, Any]]:
    """Return the changes as plain data; memory in bytes of the allocated peak."""
    return [
        {
            "run": change.place,
            "before": change.sizes[0],
            "after": change.sizes[1],
            "increase": change.increase,
            "settings": list(moved_settings(change)),
            "terms": [{"name": name, "change": size} for name, size in moved_terms(change)],
            "fits": {"before": _fits(change.before), "after": _fits(change.after)},
        }
        for change in changes
    ]


def _story(change: Change) -> Iterator[str]:
    before, after = change.sizes
    yield f"{change.place}  {_difference(change)} allocated peak: {_size(before)} → {_size(after)}"
    if verdict := _verdict(change):
        yield f"  {verdict}"
    yield from (f"  {line}" for line in moved_settings(change))
    yield from (f"  {_signed(size):>10}  {name}" for name, size in moved_terms(change)[:6])


def _details(change: Change) -> Iterator[str]:
    yield from (f"- {code(change.place)} {text(line)}" for line in moved_settings(change))
    terms = moved_terms(change)[:8]
    if not terms:
        return
    largest = abs(terms[0][1])
    bars = "\n".join(f"{name:<28}{_signed(size):>10}  {bar(abs(size), largest)}" for name, size in terms)
    yield f"\n<details><summary>Terms that moved</summary>\n\n```text\n{bars}\n```\n\n</details>\n"


def _verdict(change: Change) -> str:
    old, new = _fits(change.before), _fits(change.after)
    subject = change.after
    if subject is None or subject.gpu is None or old == new:
        return ""
    name = short_name(subject.gpu)
    if new == "no":
        return f"no longer fits {name}" if old in {"yes", "maybe"} else f"does not fit {name}"
    return {"yes": f"fits {name} now", "maybe": f"may not fit {name}"}.get(new, "")


def _difference(change: Change) -> str:
    if change.before is None:
        return "new run"
    if change.after is None:
        return "run removed"
    return "cannot be compared" if change.increase is None else _signed(change.increase)


def _signed(size: int) -> str:
    return f"{'+' if size >= 0 else ''}{gigabytes(size)}"


def _size(size: int | None) -> str:
    return "unknown" if size is None else gigabytes(size)


def _peak(subject: Subject | None) -> int | None:
    return None if subject is None or subject.estimate is None else subject.estimate.allocated.expected


def _fits(subject: Subject | None) -> str:
    return "unknown" if subject is None else subject.fits


def _terms(subject: Subject | None) -> Mapping[str, int]:
    if subject is None or subject.estimate is None:
        return {}
    found: dict[str, int] = {}
    for term in subject.estimate.ledger.terms:
        if term.at_peak:
            found[term.name] = found.get(term.name, 0) + term.bytes
    return found


def _setting_text(name: str, setting: object) -> str:
    if isinstance(setting, Known):
        return value_text(name, setting.value)
    alternatives = getattr(setting, "alternatives", None)
    return (
        "unknown"
        if alternatives is None
        else " or ".join(value_text(name, one.value) for one in alternatives)
    )


def _key(subject: Subject) -> tuple[str, str | None]:
    launch = subject.run.launch
    return subject.run.kind, None if launch is None else launch.command
