"""A simulation as a person reads it: the peak, the estimate beside it, and the largest tensors."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vramlint.render._page import EMPTY, Line, Piece, clip, line, wrapped
from vramlint.simulate.compare import Comparison, Difference, tensors_of, terms_of
from vramlint.units import gigabytes

if TYPE_CHECKING:
    from collections.abc import Iterator

    from vramlint.memory.estimate import Estimate
    from vramlint.simulate.result import Simulation, Tensors

_NAME, _FIGURE = 24, 13
_TENSORS = 12
_TOLD = 0.001  # of the peak: smaller differences are not explained
_CAUSES = 4


def page(
    simulation: Simulation, estimate: Estimate | None, comparison: Comparison | None, width: int
) -> Iterator[Line]:
    """Yield the lines of one run."""
    peak = f"{gigabytes(simulation.peak)} allocated at the peak"
    yield line(
        Piece("simulated ", "strong"),
        Piece(peak, "strong"),
        f", in {simulation.phase} of step {simulation.step}",
    )
    yield line(
        Piece(
            f"{simulation.parameters:,} parameters, {simulation.trainable_parameters:,} trained; "
            f"{simulation.steps} steps in {simulation.seconds:.1f} s on {_versions(simulation)}",
            "faint",
        )
    )
    for note in simulation.notes:
        yield from wrapped(f"differs: {note}", width, "  ")
    yield EMPTY
    if comparison is not None and estimate is not None:
        yield from _table(f"alive at the peak of {comparison.phase}", comparison.groups)
        yield from _table("phases", comparison.phases)
        yield from _explanation(simulation, estimate, comparison, width)
    yield line(Piece("largest tensors at the peak", "strong"))
    for tensors in simulation.tensors[:_TENSORS]:
        yield _tensors(tensors, width)


def _versions(simulation: Simulation) -> str:
    return ", ".join(f"{name} {version}" for name, version in simulation.libraries.items())


def _table(title: str, rows: tuple[Difference, ...]) -> Iterator[Line]:
    yield line(
        Piece(title.ljust(_NAME + 8), "strong"),
        Piece("".join(word.rjust(_FIGURE) for word in ("simulated", "estimated", "difference")), "faint"),
    )
    for row in rows:
        yield line(
            f"  {row.name:<{_NAME + 6}}{gigabytes(row.simulated):>{_FIGURE}}{gigabytes(row.estimated):>{_FIGURE}}",
            Piece(_signed(row).rjust(_FIGURE), "faint" if row.bytes == 0 else "doubt"),
        )
    yield EMPTY


def _signed(row: Difference) -> str:
    if row.bytes == 0:
        return "none"
    if row.simulated == 0:
        return f"{'+' if row.bytes > 0 else '-'}{gigabytes(abs(row.bytes))}"
    return f"{100 * row.bytes / row.simulated:+.3f} %"


def _explanation(
    simulation: Simulation, estimate: Estimate, comparison: Comparison, width: int
) -> Iterator[Line]:
    off = comparison.off
    if off is None or abs(off.bytes) < _TOLD * simulation.peak:
        yield from wrapped(f"At the peak of {comparison.phase} the two agree, group by group.", width, "")
        worst = max(comparison.phases, key=lambda row: abs(row.bytes), default=None)
        if worst is not None and abs(worst.bytes) >= _TOLD * simulation.peak:
            side = "more" if worst.bytes > 0 else "less"
            told = f"Most is off in {worst.name}: the estimate has {gigabytes(abs(worst.bytes))} {side}."
            yield from wrapped(told, width, "")
        yield EMPTY
        return
    side = "more" if off.bytes > 0 else "less"
    yield from wrapped(
        f"Most is off in {off.name}: the estimate has {gigabytes(abs(off.bytes))} {side}.", width, ""
    )
    terms = ", ".join(
        f"{term.name} {gigabytes(term.bytes)}" for term in terms_of(estimate, off.name)[:_CAUSES]
    )
    yield from wrapped(f"estimated: {terms or 'nothing'}", width, "  ")
    if comparison.phase == simulation.phase:
        tensors = tensors_of(simulation, off.name)[:_CAUSES]
        told = ", ".join(f"{_shape(one)} {gigabytes(one.bytes)} ({_made(one)})" for one in tensors)
        yield from wrapped(f"simulated: {told or 'nothing'}", width, "  ")
    yield EMPTY


def _tensors(tensors: Tensors, width: int) -> Line:
    text = f"  {gigabytes(tensors.bytes):>10}  {_shape(tensors):<32}{tensors.group:<24}"
    return line(text, Piece(clip(_made(tensors), max(width - len(text), 20)), "accent"))


def _shape(tensors: Tensors) -> str:
    count = f"{tensors.count} x " if tensors.count > 1 else ""
    return f"{count}{tensors.dtype} {list(tensors.shape)}"


def _made(tensors: Tensors) -> str:
    """Return the line of model code, shortened to its package, or the operator where no Python code is at work."""
    operator = tensors.operator.removeprefix("aten.").removesuffix(".default")
    return short(tensors.line) if tensors.line else operator


def short(place: str) -> str:
    """Return a place in an installed package without the folder that it is installed in."""
    return place.rpartition("site-packages/")[2]
