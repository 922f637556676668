"""Hover texts in Markdown: the whole run at its call, and what one setting causes where it is written."""

from __future__ import annotations

from math import prod
from typing import TYPE_CHECKING

from vramlint.facts.setting import Known, OneOf
from vramlint.knowledge import gpus
from vramlint.render._page import bar
from vramlint.render._textbook import pairs
from vramlint.render._values import origin_text, value_text
from vramlint.rules.subject import fits
from vramlint.units import count, gigabytes
from vramlint.wording import group_name, moment, short_name
from vramlint_lsp.advice import STEP
from vramlint_lsp.causes import terms_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from vramlint.memory.estimate import Estimate, Range
    from vramlint.memory.ledger import Term
    from vramlint.rules.subject import Subject
    from vramlint_lsp.advice import Advice
    from vramlint_lsp.causes import Reading

_BAR = 20
_LEAST = 0.005
"""Terms below this part of the peak are told in one line together."""
_UNITS = {"micro_batch_size": "1 sample more", "sequence_length": f"{STEP['sequence_length']} tokens more"}
_PLURALS = {"micro_batch_size": "samples", "sequence_length": "tokens"}
_NONE = {"micro_batch_size": "not even 1 sample", "sequence_length": "not even 64 tokens"}
_LONGEST = 80
"""Characters of a formula that a table's column can show."""


def run_card(subject: Subject, advice: Advice | None) -> str:
    """Return the whole breakdown of a run: figures, bars, phases, what is assumed, the textbook beside it."""
    if subject.estimate is None:
        return f"**Memory cannot be said.** {subject.why_not}"
    estimate = subject.estimate
    parts = [
        _headline(subject, estimate),
        _figures(estimate),
        _bars(estimate),
        _phases(estimate),
        _fitting(subject, advice),
        _settings(subject),
        _assumptions(subject, estimate),
        _textbook(subject, estimate),
    ]
    return "\n\n".join(part for part in parts if part)


def _headline(subject: Subject, estimate: Estimate) -> str:
    peak = f"**Peak {gigabytes(estimate.allocated.expected)} allocated** {moment(estimate.phase)}"
    return f"{peak} · {verdict(subject, estimate)}"


def verdict(subject: Subject, estimate: Estimate) -> str:
    """Say whether a run fits its GPU, or which GPU it needs where none is named."""
    if subject.gpu is None:
        return needs(subject)
    words = {
        "yes": "fits",
        "no": "does not fit",
        "maybe": "may not fit",
        "unknown": "unknown whether it fits",
    }
    size = f"device memory {gigabytes(estimate.device.expected)} of {gigabytes(subject.gpu.bytes)}"
    return f"{words[subject.fits]} the {short_name(subject.gpu)} ({size})"


def needs(subject: Subject) -> str:
    """Return the smallest common GPU that a run fits surely, such as `needs 1x A100 80GB`."""
    enough = [gpu for gpu in gpus.common() if fits(subject.estimate, gpu, subject.reserve) == "yes"]
    smallest = min(enough, key=lambda gpu: gpu.bytes, default=None)
    world = subject.plans[0].sharding.world_size if subject.plans and subject.plans[0].sharding else 1
    return f"needs {world}× {short_name(smallest)}" if smallest else "more than any common GPU has"


def _figures(estimate: Estimate) -> str:
    rows = (
        ("allocated", estimate.allocated, "torch.cuda.max_memory_allocated"),
        ("reserved", estimate.reserved, "with rounding and fragmentation"),
        ("device", estimate.device, "what nvidia-smi shows"),
    )
    table = [f"| {name} | {_cells(figures)} | {meaning} |" for name, figures, meaning in rows]
    return "\n".join(["| | low | expected | high | |", "|:--|--:|--:|--:|:--|", *table])


def _cells(figures: Range) -> str:
    low, expected, high = (gigabytes(size) for size in (figures.low, figures.expected, figures.high))
    return f"{low} | {expected} | {high}"


def _bars(estimate: Estimate) -> str:
    peak = max(estimate.ledger.peak, 1)
    alive = sorted(
        (t for t in estimate.ledger.terms if t.at_peak), key=lambda term: (-abs(term.bytes), term.name)
    )
    large = [term for term in alive if term.bytes >= _LEAST * peak]
    rows = [
        f"{term.name[:26]:<26} {gigabytes(term.bytes):>9} {bar(term.bytes, peak, _BAR)}" for term in large
    ]
    rest = sum(term.bytes for term in alive) - sum(term.bytes for term in large)
    if rest:
        rows.append(f"{f'{len(alive) - len(large)} smaller':<26} {gigabytes(rest):>9}")
    return "\n".join(["```text", *(row.rstrip() for row in rows), "```"])


def _phases(estimate: Estimate) -> str:
    rows = [
        f"| {name.replace('_', ' ')}{' (worst)' if name == estimate.phase else ''} "
        f"| {gigabytes(phase.peak)} | {gigabytes(phase.end)} |"
        for name, phase in estimate.phases.items()
    ]
    return "\n".join(["| phase, allocated | peak | left after |", "|:--|--:|--:|", *rows])


def _fitting(subject: Subject, advice: Advice | None) -> str:
    if advice is None:
        return ""
    return "  \n".join(sentence for name in advice.rooms for sentence in _room(name, subject, advice))


def _room(name: str, subject: Subject, advice: Advice | None) -> Iterator[str]:
    """Yield what one more of an amount costs and the largest that fits."""
    room = next((room for key, room in advice.rooms.items() if key == name), None) if advice else None
    if room is None or room.more is None:
        return
    yield f"{_UNITS[name]}: {gigabytes(room.more)} allocated"
    if subject.gpu is not None and room.largest is not None:
        most = f"{room.largest:,} {_PLURALS[name]}" if room.largest else _NONE[name]
        yield f"largest that fits the {short_name(subject.gpu)}: **{most}**"


def _settings(subject: Subject) -> str:
    rows = []
    for name, setting in subject.run.settings.items():
        if isinstance(setting, OneOf):
            values = " or ".join(value_text(name, known.value) for known in setting.alternatives)
            rows.append(f"- `{name}`: one of {values} ({setting.reason})")
        elif not isinstance(setting, Known):
            rows.append(f"- `{name}`: unknown: {setting.reason}")
    return "\n".join(["**Open**", "", *rows]) if rows else ""


def _assumptions(subject: Subject, estimate: Estimate) -> str:
    assumed = [
        f"- `{name}` = {value_text(name, setting.value)}: {setting.origin.detail}"
        for name, setting in subject.run.settings.items()
        if isinstance(setting, Known) and setting.origin.kind == "assumed"
    ]
    rows = [*assumed, *(f"- {sentence}" for sentence in estimate.assumptions)]
    return "\n".join(["**Taken for granted**", "", *rows]) if rows else ""


def _textbook(subject: Subject, estimate: Estimate) -> str:
    if not subject.plans:
        return ""
    rows = []
    for figure, engine in pairs(estimate, subject.plans[0]):
        low, high = gigabytes(figure.low), gigabytes(figure.high)
        rows.append(f"| {figure.name} | {low if low == high else f'{low} to {high}'} | {gigabytes(engine)} |")
    return "\n".join(["| rule of thumb | textbook | this run |", "|:--|--:|--:|", *rows])


def reading_card(subject: Subject, reading: Reading, advice: Advice | None) -> str:
    """Return what a setting is and what it causes: its terms with their formulas, as a part of the peak."""
    value = value_text(reading.name, reading.value)
    head = f"**{reading.name.replace('_', ' ')}**: {value}"
    parts = [
        head + _share(subject, reading.name),
        _model(subject, reading),
        _states(subject, reading),
        _terms(subject, reading.name),
    ]
    rooms = "  \n".join(_room(reading.name, subject, advice))
    origin = f"*{reading.origin.kind}: {origin_text(reading.origin, subject.run.span.path)}*"
    return "\n\n".join(part for part in (*parts, rooms, origin) if part)


def _share(subject: Subject, name: str) -> str:
    if subject.estimate is None:
        return ""
    total = sum(term.bytes for term in terms_of(subject, name) if term.at_peak)
    if not total:
        return ""
    return f" · {gigabytes(total)} of a peak of {gigabytes(subject.estimate.ledger.peak)}"


def _model(subject: Subject, reading: Reading) -> str:
    if reading.name != "model" or subject.estimate is None:
        return ""
    estimate = subject.estimate
    trained = (
        f"{count(estimate.parameters)} parameters, {count(estimate.trainable_parameters)} of them trained"
    )
    return f"{trained}{_shape(subject)}"


def _shape(subject: Subject) -> str:
    """Return the model's dimensions and where they come from."""
    from vramlint.knowledge import models  # noqa: PLC0415  only where a model is named

    spec = subject.plans[0].model
    record = models.find(spec.id) if spec.id else None
    config = dict(spec.config or (record.config if record is not None else {}))
    known = [
        f"{config[key]:,} {words}"
        for key, words in (
            ("num_hidden_layers", "layers"), ("n_layer", "layers"), ("hidden_size", "wide"), ("n_embd", "wide"),
            ("num_attention_heads", "heads"), ("n_head", "heads"), ("num_key_value_heads", "key heads"),
            ("vocab_size", "tokens in the vocabulary"),
        )
        if isinstance(config.get(key), int)
    ]  # fmt: skip
    source = f"  \nfacts: {record.source}" if record is not None and getattr(record, "source", None) else ""
    return ("  \n" + ", ".join(known) if known else "") + source


def _states(subject: Subject, reading: Reading) -> str:
    """Return the optimizer's states in one line, such as `exp_avg + exp_avg_sq: 2 × 6.74 B × 4 B = 53.9 GB`."""
    if reading.name != "optimizer" or subject.estimate is None:
        return ""
    states = [term for term in subject.estimate.ledger.terms if term.group == "optimizer" and term.bytes]
    if not states:
        return "no state is kept for a parameter"
    names, total = " + ".join(term.name for term in states), sum(term.bytes for term in states)
    trained = subject.estimate.trainable_parameters
    each, rest = divmod(states[0].bytes, max(trained, 1))
    is_even = not rest and all(term.bytes == states[0].bytes for term in states)
    product = f"{len(states)} × {count(trained)} × {each} B = " if is_even else ""
    return f"{names}: {product}{gigabytes(total)}"


def _terms(subject: Subject, name: str) -> str:
    rows = [_term(term) for term in terms_of(subject, name)][:8]
    return "\n".join(["| | bytes | formula |", "|:--|--:|:--|", *rows]) if rows else ""


def _term(term: Term) -> str:
    when = "" if term.at_peak else " (not at the worst moment)"
    return f"| {term.name}, {group_name(term.group)}{when} | {gigabytes(term.bytes)} | {_formula(term)} |"


def _formula(term: Term) -> str:
    """Return a term's formula with its sizes; one of many shapes as a number of elements."""
    elements = sum(prod(one.size for one in part.dimensions) * part.count for part in term.lines)
    bits = {part.item_bits for part in term.lines}
    is_whole = len(bits) == 1 and all(part.shards == 1 for part in term.lines)
    if is_whole and len(term.formula) > _LONGEST and "activations" not in term.name:
        return f"{count(elements)} elements × {bits.pop() / 8:g} B"
    sizes = {one.symbol: one.size for part in term.lines for one in part.dimensions}
    named = [f"{symbol} = {size:,}" for symbol, size in sizes.items() if not symbol.isdigit()]
    formula = term.formula if len(term.formula) <= _LONGEST else term.formula[: _LONGEST - 1] + "…"
    return f"{formula} ({', '.join(named[:4])})" if named else formula
