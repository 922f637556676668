"""Charts as inline SVG, without scripts: memory over the course of a training, and estimate beside measurement."""

from __future__ import annotations

from dataclasses import dataclass
from html import escape
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

COLORS = {
    "runtime": "#8a8a8a",
    "weights": "#3a7ca5",
    "extra-models": "#6a5acd",
    "optimizer": "#c8553d",
    "gradients": "#d9a441",
    "inputs": "#7f8c8d",
    "activations": "#4f9d69",
    "loss": "#9b59b6",
    "temporaries": "#b0bec5",
}
"""Of each part, from the bottom of the stack to its top."""

_WIDTH, _HEIGHT = 720, 240
_LEFT, _RIGHT, _TOP, _BOTTOM = 64, 10, 18, 34
_ROW, _LABEL = 24, 170
_GIGA = 10**9


@dataclass(frozen=True, slots=True)
class Moment:
    """Allocated bytes of each part at one moment; `step` counts from 1 and is 0 while loading."""

    phase: str
    step: int
    bytes: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class Pair:
    """What was estimated and what was measured, in bytes; None where there is nothing of the kind."""

    label: str
    estimated: int | None
    measured: int | None


def course(moments: Sequence[Moment], limit: int | None = None) -> str:
    """Return the parts stacked over time, with the phases below; `limit` in bytes is drawn as a line."""
    if not moments:
        return ""
    top = max(sum(moment.bytes.values()) for moment in moments) or 1
    shown = limit if limit is not None and limit <= 2 * top else None
    height = max(top, shown or 0) * 1.04
    # A single moment is drawn as a stretch.
    points = [*moments, moments[-1]] if len(moments) == 1 else list(moments)
    body = [*_axis(height), *_areas(points, height), *_phases(points), *_limit(shown, height)]
    title = f"allocated memory over {max(moment.step for moment in moments)} training steps"
    return _svg(_WIDTH, _HEIGHT, title, body)


def comparison(pairs: Sequence[Pair]) -> str:
    """Return a bar for each measured amount, with a tick where the estimate is."""
    top = max((size for pair in pairs for size in (pair.estimated, pair.measured) if size), default=1)
    body = [line for row, pair in enumerate(pairs) for line in _pair(row, pair, top)]
    return _svg(_WIDTH, _ROW * len(pairs) + 6, "measured memory, and the estimate as a tick", body)


def _svg(width: int, height: int, title: str, body: Sequence[str]) -> str:
    return (
        f'<svg viewBox="0 0 {width} {height}" role="img" style="max-width:{width}px;width:100%;height:auto">'
        f"<title>{escape(title)}</title>{''.join(body)}</svg>"
    )


def _areas(moments: Sequence[Moment], top: float) -> Iterator[str]:
    floor = [0] * len(moments)
    for part, color in COLORS.items():
        ceiling = [low + moment.bytes.get(part, 0) for low, moment in zip(floor, moments, strict=True)]
        if ceiling != floor:
            there = [_point(at, size, len(moments), top) for at, size in enumerate(ceiling)]
            back = [_point(at, size, len(moments), top) for at, size in enumerate(floor)][::-1]
            most = max(moment.bytes.get(part, 0) for moment in moments)
            yield (
                f'<polygon fill="{color}" points="{" ".join([*there, *back])}">'
                f"<title>{part.replace('-', ' ')}: up to {_gigabytes(most)}</title></polygon>"
            )
        floor = ceiling


def _point(at: int, size: int, count: int, top: float) -> str:
    return f"{_x(at, count):.1f},{_y(size, top):.1f}"


def _x(at: int, count: int) -> float:
    return _LEFT + (_WIDTH - _LEFT - _RIGHT) * at / (count - 1)


def _y(size: float, top: float) -> float:
    return _HEIGHT - _BOTTOM - (_HEIGHT - _TOP - _BOTTOM) * size / top


def _axis(top: float) -> Iterator[str]:
    for quarter in range(5):
        size = top * quarter / 4
        y = _y(size, top)
        yield f'<line class="grid" x1="{_LEFT}" x2="{_WIDTH - _RIGHT}" y1="{y:.1f}" y2="{y:.1f}"/>'
        yield f'<text x="{_LEFT - 6}" y="{y + 4:.1f}" text-anchor="end">{_gigabytes(size)}</text>'


def _phases(moments: Sequence[Moment]) -> Iterator[str]:
    count, start = len(moments), 0
    for at in range(1, count + 1):
        if at < count and _stretch(moments[at]) == _stretch(moments[start]):
            continue
        left, right = _x(start, count), _x(min(at, count - 1), count)
        if start:
            yield f'<line class="edge" x1="{left:.1f}" x2="{left:.1f}" y1="{_TOP}" y2="{_HEIGHT - _BOTTOM}"/>'
        name = moments[start].phase.replace("_", " ")
        if right - left > 6 * len(name):
            yield f'<text x="{(left + right) / 2:.1f}" y="{_HEIGHT - _BOTTOM + 14}" text-anchor="middle">{name}</text>'
        if _begins_step(moments, start):
            number = f"step {moments[start].step}"
            yield f'<text x="{left:.1f}" y="{_HEIGHT - 4}" class="strong">{number}</text>'
        start = at


def _begins_step(moments: Sequence[Moment], at: int) -> bool:
    step = moments[at].step
    return step > 0 and (at == 0 or moments[at - 1].step != step)


def _stretch(moment: Moment) -> tuple[str, int]:
    return moment.phase, moment.step


def _limit(limit: int | None, top: float) -> Iterator[str]:
    if limit is not None:
        y = _y(limit, top)
        yield f'<line class="limit" x1="{_LEFT}" x2="{_WIDTH - _RIGHT}" y1="{y:.1f}" y2="{y:.1f}"/>'
        words, right = f"the GPU has {_gigabytes(limit)}", _WIDTH - _RIGHT
        yield f'<text class="limit" x="{right}" y="{y - 4:.1f}" text-anchor="end">{words}</text>'


def _pair(row: int, pair: Pair, top: int) -> Iterator[str]:
    y, room = row * _ROW + 4, _WIDTH - _LABEL - 230
    yield f'<text x="{_LABEL - 8}" y="{y + 12}" text-anchor="end">{escape(pair.label)}</text>'
    told = []
    if pair.measured is not None:
        width = max(room * pair.measured / top, 1)
        yield f'<rect x="{_LABEL}" y="{y}" width="{width:.1f}" height="15" fill="{COLORS["activations"]}"/>'
        told.append(f"{_gigabytes(pair.measured)} measured")
    if pair.estimated is not None:
        x = _LABEL + room * pair.estimated / top
        yield f'<rect x="{x - 1:.1f}" y="{y - 3}" width="3" height="21" fill="{COLORS["optimizer"]}"/>'
        told.append(f"{_gigabytes(pair.estimated)} estimated")
    yield f'<text x="{_LABEL + room + 10}" y="{y + 12}">{", ".join(told)}</text>'


def _gigabytes(size: float) -> str:
    """Return GB (10⁹ bytes), or MB (10⁶) below one of them."""
    return f"{size / _GIGA:.1f} GB" if size >= _GIGA else f"{size / 10**6:.1f} MB"
