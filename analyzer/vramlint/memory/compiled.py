"""torch.compile: what a compiled step keeps less than an eager one, as far as that can be said without compiling.

AOTAutograd's partitioner saves what makes the cut between forward and backward smallest and computes chains of
pointwise operators again (torch/_functorch/partitioners.py, min_cut_rematerialization_partition), and inductor fuses
what lies between two matrix products. Which tensors that spares depends on the graph, so the figure is the eager
one less a share of what forward and backward add to the states.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from vramlint.memory.arena import Arena, Peak
from vramlint.memory.estimate import Range
from vramlint.memory.ledger import Dimension, Ledger, Line, Phase, Term

if TYPE_CHECKING:
    from collections.abc import Mapping

# Percent of an eager step's activations that are left. Six published measurements of compiled runs lie between 88 and
# 96 (GPT-2 124M by S. Raschka, 2024; torchtitan's Llama 3.1 8B, 2024); others measured 71 to 77 of a whole step.
_LEAST, _EXPECTED = 71, 92
_PHASES: tuple[Phase, ...] = ("forward", "backward")
NOTE = (
    "torch.compile keeps 4 to 12 % less of the activations in the measurements that are published, and up to 29 % in "
    "some: 8 % are taken, the range runs from 29 % to none; CUDA graphs (mode='reduce-overhead') keep a pool beside it"
)


def fuse(arena: Arena) -> Mapping[Phase, int]:
    """Lower the peaks and ends of forward and backward; return by how many bytes each peak was lowered."""
    floor = floor_of(arena)
    spared: dict[Phase, int] = {}
    for phase in _PHASES:
        record = arena.phases[phase]
        peak = record.peak
        less = _less(peak.bytes, floor)
        spared[phase] = peak.bytes - less
        record.peak = Peak(less, peak.at, peak.passed, peak.step)
        record.end = _less(record.end, floor)
    arena.moments = [
        replace(one, bytes=_less(one.bytes, floor)) if one.phase in _PHASES else one for one in arena.moments
    ]
    return spared


def floor_of(arena: Arena) -> int:
    """Return what no compiler spares: weights and states."""
    last = arena.phases.get("optimizer_step")
    return last.end if last is not None else arena.phases["load"].end


def _less(size: int, floor: int, percent: int = _EXPECTED) -> int:
    return size if size <= floor else floor + (size - floor) * percent // 100


def least(arena: Arena, peak: int) -> int:
    """Return the low end of a compiled step's peak, of which the expected share is left already."""
    floor = floor_of(arena)
    return peak if peak <= floor else floor + (peak - floor) * _LEAST // _EXPECTED


def compiled_range(exact: Range, arena: Arena, spared: int) -> Range:
    """Return the range of a compiled step: down to the most that was measured to be spared, up to the eager one."""
    return Range(least(arena, exact.low), exact.expected, exact.high + spared)


def with_fused(ledger: Ledger, spared: int) -> Ledger:
    """Return the eager step's ledger with a term that takes away what compiling spares."""
    if not spared:
        return ledger
    line = Line((Dimension("fused", spared),), 8, -1)
    term = Term(
        "spared by torch.compile",
        "activations",
        (line,),
        frozenset(_PHASES),
        at_peak=True,
        citation="torch/_functorch/partitioners.py; the share: six published measurements of compiled runs",
    )
    terms = sorted((*ledger.terms, term), key=lambda one: (not one.at_peak, -abs(one.bytes), one.name))
    return Ledger(tuple(terms))
