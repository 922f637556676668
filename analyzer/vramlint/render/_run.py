"""One run as a page: verdict, breakdown at the worst moment, phases, settings, and what is open."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vramlint.facts.setting import Known, OneOf, Unknown
from vramlint.plan.names import REPORTED
from vramlint.render._page import EMPTY, Line, Piece, bar, clip, line, wrapped
from vramlint.render._values import origin_text, place_text, short_place, value_text
from vramlint.rules.subject import fits
from vramlint.units import count, gigabytes
from vramlint.wording import group_name, moment, short_name

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

    from vramlint.memory.estimate import Estimate, Range
    from vramlint.memory.ledger import Term
    from vramlint.render._page import Tone
    from vramlint.render.style import Style
    from vramlint.rules.subject import Subject

_NAME, _VALUE, _BAR, _LEAST_FORMULA = 28, 36, 14, 8
_LEFT = 2 + _NAME + 9 + 1
"""Columns before the bar: the indent, the name, the bytes, a blank."""
_SMALL = 0.01
"""Terms below this part of the peak are told in one line together."""

_READ_KINDS = frozenset(
    {"source", "config", "launch", "argument-default", "override", "pragma", "plan", "hub", "measured"}
)

# An encoder-decoder has two lengths; other further settings are for `explain` and for programs.
_SHOWN = (*REPORTED, "target_length")


def run_page(subject: Subject, style: Style) -> Iterator[Line]:
    """Yield the whole page of a run."""
    yield from header(subject)
    yield from _started(subject, style)
    if subject.estimate is None:
        yield from wrapped(f"The memory cannot be said: {subject.why_not}", style.width, "  ", "doubt")
    else:
        yield from verdict(subject, subject.estimate, style)
        yield from _breakdown(subject, subject.estimate, style)
        yield from phases(subject.estimate)
    yield from read(subject, _SHOWN, style)
    yield from assumed(subject, (*_SHOWN, "libraries"), style)
    yield from opened(subject, style)
    if style.timeline and subject.estimate is not None:
        yield from _timeline(subject.estimate, style)


def header(subject: Subject) -> Iterator[Line]:
    """Yield where the run is and what it is."""
    frameworks = f" with {', '.join(subject.run.frameworks)}" if subject.run.frameworks else ""
    kind = {"train": "training", "inference": "inference"}[subject.run.kind]
    span = subject.run.span
    place = span.path if span.start == span.end else place_text(span)  # a plan has no line of its own
    yield line(Piece(place, "strong"), Piece(f"  {kind}{frameworks}", "faint"))


def _started(subject: Subject, style: Style) -> Iterator[Line]:
    """Yield the command that starts the run, where one is known."""
    launch = subject.run.launch
    if launch is None:
        return
    place = f"{place_text(launch.span)}  " if launch.span is not None else ""
    yield line(Piece(clip(f"  by {place}{launch.command}", style.width), "faint"))


def verdict(subject: Subject, estimate: Estimate, style: Style) -> Iterator[Line]:
    """Yield whether it fits, and the three figures with what each means."""
    yield from _gpu_verdict(subject, estimate, style)
    when = moment(estimate.phase)
    yield _figure("allocated", estimate.allocated, "strong", f"peak of torch's tensors, {when}")
    yield _figure("reserved", estimate.reserved, "plain", "with rounding and fragmentation")
    yield _figure("device", estimate.device, "plain", "with the CUDA context: what nvidia-smi shows")


def _figure(name: str, figures: Range, tone: Tone, meaning: str) -> Line:
    between = f"{_between(figures):<22}"
    return line(
        f"    {name:<10}",
        Piece(f"{gigabytes(figures.expected):>9}", tone),
        Piece(f"  {between}  {meaning}", "faint"),
    )


def _between(figures: Range) -> str:
    if figures.low == figures.high:
        return ""
    return f"{gigabytes(figures.low)} to {gigabytes(figures.high)}"


def _gpu_verdict(subject: Subject, estimate: Estimate, style: Style) -> Iterator[Line]:
    gpu = subject.gpu
    if gpu is None:
        yield from _common_gpus(subject, estimate, style)
        return
    sign, words = {
        "yes": (Piece("✓", "good"), "Fits"),
        "no": (Piece("✗", "bad"), "Does not fit"),
        "maybe": (Piece("?", "doubt"), "May not fit"),
        "unknown": (Piece("?", "doubt"), "Unknown whether it fits"),
    }[subject.fits]
    kept = f", {gigabytes(subject.reserve)} of it kept free" if subject.reserve else ""
    need = f"device memory {gigabytes(estimate.device.expected)} of {gigabytes(gpu.bytes)}{kept}"
    yield line("  ", sign, " ", Piece(f"{words} the {short_name(gpu)}", sign.tone), f": {need}")
    if subject.fits == "no":
        yield from _larger_gpus(subject, estimate, style)


def _larger_gpus(subject: Subject, estimate: Estimate, style: Style) -> Iterator[Line]:
    from vramlint.knowledge import gpus  # noqa: PLC0415  only where it does not fit

    names = [short_name(gpu) for gpu in gpus.common() if fits(estimate, gpu, subject.reserve) == "yes"]
    text = f"It would fit: {', '.join(names)}" if names else "It would fit no single GPU that is common"
    yield from wrapped(text, style.width, "    ", "faint")


def _common_gpus(subject: Subject, estimate: Estimate, style: Style) -> Iterator[Line]:
    """Say which well-known GPUs the run fits, where none was named."""
    from vramlint.knowledge import gpus  # noqa: PLC0415  only where no GPU was named

    known = gpus.common()
    for verdict, sign in (("yes", Piece("✓ fits    ", "good")), ("maybe", Piece("? may fit ", "doubt"))):
        names = [short_name(gpu) for gpu in known if fits(estimate, gpu, subject.reserve) == verdict]
        if names:
            first, *more = wrapped(", ".join(names), style.width, " " * 13)
            yield (Piece("  "), sign, Piece(" "), *first[1:])
            yield from more
    if all(fits(estimate, gpu, subject.reserve) == "no" for gpu in known):
        yield line("  ", Piece("✗ fits no single GPU that is common", "bad"))
    yield line(Piece("  No GPU was named; --gpu NAME gives a verdict for yours.", "faint"))


def _breakdown(subject: Subject, estimate: Estimate, style: Style) -> Iterator[Line]:
    alive = sorted(
        (t for t in estimate.ledger.terms if t.at_peak), key=lambda term: (-abs(term.bytes), term.name)
    )
    peak = max(estimate.ledger.peak, 1)
    large = [term for term in alive if abs(term.bytes) >= _SMALL * peak]
    rest = sum(term.bytes for term in alive) - sum(term.bytes for term in large)
    yield EMPTY
    yield line(Piece(f"  What is allocated at that moment ({gigabytes(estimate.ledger.peak)})", "strong"))
    for term in large:
        yield _term(term, peak, subject.run.span.path, style)
    if rest:
        few = f"{len(alive) - len(large)} smaller"
        yield line(Piece(f"  {_label(few)}{gigabytes(rest):>9}", "faint"))
    trained = count(estimate.trainable_parameters)
    yield line(Piece(f"  {count(estimate.parameters)} parameters, {trained} of them trained", "faint"))


def _term(term: Term, peak: int, path: str, style: Style) -> Line:
    """Lay out name, bytes and bar, then the formula on the left and the cause on the right."""
    columns = min(max((style.width - _LEFT) // 3, 6), _BAR)
    room = style.width - _LEFT - columns
    places = [origin.span for origin in term.origins if origin.span is not None]
    cause = clip(short_place(places[0], path) if places else _without_place(term), room - 2)
    left = room - len(cause) - 4
    formula = clip(term.formula, left) if left >= _LEAST_FORMULA else ""
    return line(
        f"  {_label(term.name)}{gigabytes(term.bytes):>9} ",
        Piece(bar(term.bytes, peak, columns), "accent"),
        Piece(f"  {formula}{cause:>{room - 2 - len(formula)}}", "faint"),
    )


def _without_place(term: Term) -> str:
    return term.origins[0].detail if term.origins else group_name(term.group)


def _label(text: str) -> str:
    return clip(text, _NAME - 1).ljust(_NAME)


def phases(estimate: Estimate) -> Iterator[Line]:
    """Yield the largest amount of each phase and what is left after it."""
    yield EMPTY
    yield line(Piece(f"  {_label('Phases (allocated)')}{'peak':>9}{'left after':>13}", "strong"))
    for phase, figures in estimate.phases.items():
        worst = "  the worst moment" if phase == estimate.phase else ""
        sizes = f"{gigabytes(figures.peak):>9}{gigabytes(figures.end):>13}"
        yield line(f"  {_label(phase.replace('_', ' '))}{sizes}", Piece(worst, "faint"))


def read(subject: Subject, names: Collection[str], style: Style) -> Iterator[Line]:
    """Yield those of the named settings that someone wrote, with their places."""
    known = {name: setting for name, setting in _known(subject) if name in names}
    rows = {name: setting for name, setting in known.items() if setting.origin.kind in _READ_KINDS}
    if not rows:
        return
    yield EMPTY
    yield line(Piece("  Settings that were read", "strong"))
    for name, setting in rows.items():
        yield _setting(
            name, value_text(name, setting.value), origin_text(setting.origin, _path(subject)), style
        )


def assumed(subject: Subject, names: Collection[str], style: Style) -> Iterator[Line]:
    """Yield the defaults and assumptions of the named settings that say something."""
    rows = [
        (name, setting)
        for name, setting in _known(subject)
        if name in names and setting.origin.kind not in _READ_KINDS and _says_something(setting)
    ]
    sentences = subject.estimate.assumptions if subject.estimate is not None else ()
    if not rows and not sentences:
        return
    yield EMPTY
    yield line(Piece("  Taken for granted", "strong"))
    for name, setting in rows:
        yield _setting(name, value_text(name, setting.value), setting.origin.detail, style)
    for sentence in sentences:
        first, *more = wrapped(sentence, style.width, "    ")
        yield (Piece("  - "), *first[1:])
        yield from more


def _known(subject: Subject) -> Iterator[tuple[str, Known[object]]]:
    for name, setting in subject.run.settings.items():
        if isinstance(setting, Known):
            yield name, setting


def _says_something(setting: Known[object]) -> bool:
    """A default that is nothing (no LoRA, no sharding) need not be told; an assumption always is."""
    return setting.origin.kind == "assumed" or setting.value not in (None, False, [], (), {}, "default")


def opened(subject: Subject, style: Style) -> Iterator[Line]:
    """Yield what is not known, with what decides and how to settle it."""
    rows = {name: setting for name, setting in subject.run.settings.items() if not isinstance(setting, Known)}
    if not rows:
        return
    yield EMPTY
    yield line(Piece("  Open", "strong"))
    for name, setting in rows.items():
        yield from _open_setting(name, setting, _path(subject), style)


def _open_setting(name: str, setting: OneOf[object] | Unknown, path: str, style: Style) -> Iterator[Line]:
    if isinstance(setting, OneOf):
        yield line(f"  {_label(name)}", Piece("one of", "doubt"))
        for known in setting.alternatives:
            yield line(
                f"  {_label('')}{value_text(name, known.value)}  ",
                Piece(origin_text(known.origin, path), "faint"),
            )
    else:
        taken = f", taken as {setting.bounds[0]:,} to {setting.bounds[2]:,}" if setting.bounds else ""
        yield line(f"  {_label(name)}", Piece(f"unknown{taken}", "doubt"))
    reason = setting.reason.rstrip(".")
    hint = "" if "--set" in reason else f" Settle it: --set {name}=…"
    yield from wrapped(f"{reason}.{hint}", style.width, " " * (_NAME + 2), "faint")


def _setting(name: str, value: str, origin: str, style: Style) -> Line:
    columns = max(min(style.width - _NAME - 32, _VALUE), 12)
    room = style.width - _NAME - columns - 4
    return line(f"  {_label(name)}{clip(value, columns):<{columns}}  ", Piece(clip(origin, room), "faint"))


def _path(subject: Subject) -> str:
    return subject.run.span.path


def _timeline(estimate: Estimate, style: Style) -> Iterator[Line]:
    top = max((event.bytes for event in estimate.timeline), default=1)
    yield EMPTY
    yield line(Piece("  Timeline (allocated)", "strong"))
    for event in estimate.timeline:
        what = clip(f"{event.phase.replace('_', ' ')}: {event.label}", style.width - _BAR - 18)
        yield line(
            f"  {event.t:>4} {gigabytes(event.bytes):>9} ",
            Piece(bar(event.bytes, top, _BAR), "accent"),
            f" {what}",
        )
