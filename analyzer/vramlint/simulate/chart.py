"""The memory of a simulated run over time, as a page of its own (SVG in HTML, nothing remote) or as PNG."""

from __future__ import annotations

from html import escape
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING

from vramlint.simulate.errors import CannotSimulate, MissingPackage
from vramlint.simulate.page import short
from vramlint.units import gigabytes

if TYPE_CHECKING:
    from collections.abc import Iterator

    from vramlint.simulate.result import Simulation, Tensors

_WIDTH, _HEIGHT, _LEFT, _BOTTOM, _TOP = 1100, 420, 70, 30, 20
_COLORS = {"load": "#8a8f98", "forward": "#3b82c4", "backward": "#c4623b", "optimizer_step": "#4f9a4f"}
_TICKS = 5
_ROWS = 30
_MOST_POINTS = 4_000  # more than a screen has columns; the largest of each stretch is kept

_STYLE = """
:root { color-scheme: light dark; font: 14px/1.5 system-ui, sans-serif; }
body { max-width: 1100px; margin: 2em auto; padding: 0 1em; }
svg { width: 100%; height: auto; }
text { fill: currentColor; font-size: 12px; }
.grid { stroke: currentColor; stroke-opacity: .15; }
table { border-collapse: collapse; width: 100%; }
td, th { text-align: left; padding: .2em .8em .2em 0; border-bottom: 1px solid #8884; }
td.number { text-align: right; font-variant-numeric: tabular-nums; }
"""


def write_chart(simulation: Simulation, title: str, path: str) -> None:
    """Write the timeline to a file whose ending says the form.

    Raises:
        CannotSimulate: for another ending than .html and .png.
        MissingPackage: for PNG without matplotlib.
    """
    ending = Path(path).suffix.lower()
    if ending in {".html", ".htm"}:
        Path(path).write_text(html(simulation, title), encoding="utf-8")
    elif ending == ".png":
        _write_png(simulation, title, path)
    else:
        raise CannotSimulate(f"--timeline {path}: a timeline is written as .html or .png")


def html(simulation: Simulation, title: str) -> str:
    """Return the page: a chart of all steps and a table of what is alive at the peak."""
    rows = "\n".join(_row(tensors) for tensors in simulation.tensors[:_ROWS])
    head = "<tr><th>bytes</th><th>tensors</th><th>what</th><th>made by</th></tr>"
    peak = f"{gigabytes(simulation.peak)} allocated, in {simulation.phase} of step {simulation.step}"
    return (
        f'<!doctype html>\n<html lang="en">\n<meta charset="utf-8">\n<title>{escape(title)}</title>\n'
        f"<style>{_STYLE}</style>\n<h1>{escape(title)}</h1>\n<p>Simulated peak: {escape(peak)}.</p>\n"
        f"{svg(simulation)}\n<h2>Alive at the peak</h2>\n<table>\n{head}\n{rows}\n</table>\n</html>\n"
    )


def svg(simulation: Simulation) -> str:
    """Return the chart alone: allocated bytes over allocations and releases, one colour for each phase."""
    points = _thinned(simulation.curve)
    across = (_WIDTH - _LEFT) / max(len(points) - 1, 1)
    up = (_HEIGHT - _TOP - _BOTTOM) / max(simulation.peak, 1)
    parts = [*_grid(simulation.peak, up), *_stretches(points, across, up), *_legend()]
    return (
        f'<svg viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img" aria-label="allocated memory over time">\n'
        + "\n".join(parts)
        + "\n</svg>"
    )


def _thinned(curve: tuple[tuple[str, int, int], ...]) -> list[tuple[str, int, int]]:
    stretch = max(1, -(-len(curve) // _MOST_POINTS))
    kept: list[tuple[str, int, int]] = []
    for _, same in groupby(curve, key=lambda point: point[:2]):
        points = list(same)
        kept += [
            max(points[i : i + stretch], key=lambda point: point[2]) for i in range(0, len(points), stretch)
        ]
    return kept


def _stretches(points: list[tuple[str, int, int]], across: float, up: float) -> Iterator[str]:
    """Yield one filled shape for each phase of each step."""
    base, start = _HEIGHT - _BOTTOM, 0
    for (phase, step), same in groupby(points, key=lambda point: point[:2]):
        stretch = list(same)
        places = [
            f"{_LEFT + (start + i) * across:.1f},{base - size * up:.1f}"
            for i, (*_, size) in enumerate(stretch)
        ]
        first, last = _LEFT + start * across, _LEFT + (start + len(stretch)) * across
        most = gigabytes(max(size for *_, size in stretch))
        corners = f"{first:.1f},{base} {' '.join(places)} {last:.1f},{base - stretch[-1][2] * up:.1f} {last:.1f},{base}"
        tip = f"{phase}, step {step}: at most {most}"
        yield f'<polygon points="{corners}" fill="{_COLORS.get(phase, "#888")}"><title>{tip}</title></polygon>'
        start += len(stretch)


def _grid(peak: int, up: float) -> Iterator[str]:
    for tick in range(_TICKS + 1):
        size = peak * tick // _TICKS
        y = _HEIGHT - _BOTTOM - size * up
        yield f'<line class="grid" x1="{_LEFT}" x2="{_WIDTH}" y1="{y:.1f}" y2="{y:.1f}"/>'
        yield f'<text x="{_LEFT - 6}" y="{y + 4:.1f}" text-anchor="end">{gigabytes(size)}</text>'


def _legend() -> Iterator[str]:
    for number, (phase, color) in enumerate(_COLORS.items()):
        x = _LEFT + 140 * number
        yield f'<rect x="{x}" y="{_HEIGHT - 16}" width="10" height="10" fill="{color}"/>'
        yield f'<text x="{x + 15}" y="{_HEIGHT - 7}">{phase.replace("_", " ")}</text>'


def _row(tensors: Tensors) -> str:
    made = short(tensors.line) or tensors.operator
    shape = f"{tensors.count} × {tensors.dtype} {list(tensors.shape)}"
    cells = "".join(f"<td>{escape(text)}</td>" for text in (shape, tensors.group, made))
    return f'<tr><td class="number">{gigabytes(tensors.bytes)}</td>{cells}</tr>'


def _write_png(simulation: Simulation, title: str, path: str) -> None:
    try:
        from matplotlib.figure import Figure  # noqa: PLC0415  an option that few have
    except ImportError:
        raise MissingPackage("a timeline as PNG needs matplotlib; write it as .html instead") from None
    figure = Figure(figsize=(11, 4.2), layout="tight")
    axes = figure.add_subplot()
    start = 0
    for (phase, _), same in groupby(_thinned(simulation.curve), key=lambda point: point[:2]):
        sizes = [size / 1e9 for *_, size in same]
        axes.fill_between(
            range(start, start + len(sizes)), sizes, step="post", color=_COLORS.get(phase, "#888")
        )
        start += len(sizes)
    axes.set(title=title, ylabel="allocated, GB", xlabel="allocations and releases")
    figure.savefig(path, dpi=150)
