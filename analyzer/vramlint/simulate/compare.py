"""A simulation beside the engine's ledger: what differs, group by group, and which tensors account for it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from vramlint.memory.estimate import Estimate
    from vramlint.memory.ledger import Term
    from vramlint.simulate.result import Simulation, Tensors

# Both sides' groups by the names that the table shows. A loss is activations that another module makes.
_ESTIMATED: Mapping[str, str] = {"loss": "activations", "runtime": "allocator"}
_SIMULATED: Mapping[str, str] = {
    "buffers": "weights",
    "recomputed activations": "activations",
    "rounding": "allocator",
}
_ORDER = (
    "weights",
    "gradients",
    "optimizer",
    "activations",
    "temporaries",
    "inputs",
    "extra-models",
    "allocator",
)


@dataclass(frozen=True, slots=True)
class Difference:
    """One figure on both sides, in bytes."""

    name: str
    simulated: int
    estimated: int

    @property
    def bytes(self) -> int:
        """Return by how much the estimate is larger."""
        return self.estimated - self.simulated


@dataclass(frozen=True, slots=True)
class Comparison:
    """A simulation beside an estimate.

    `groups` are what is alive at the worst moment of `phase`, which is the estimate's worst phase: they add up to the
    two peaks of that phase. `phases` are the peaks and ends of all phases.
    """

    phase: str
    groups: tuple[Difference, ...]
    phases: tuple[Difference, ...]

    @property
    def off(self) -> Difference | None:
        """Return the group that differs most, None if none does."""
        most = max(self.groups, key=lambda group: abs(group.bytes), default=None)
        return most if most is not None and most.bytes else None


def compare(simulation: Simulation, estimate: Estimate) -> Comparison:
    """Set a simulation beside the estimate of the same plan."""
    estimated = _by_group(estimate)
    phase = estimate.phase if estimate.phase in simulation.phases else simulation.phase
    simulated: dict[str, int] = {}
    for group, size in simulation.phases[phase].groups.items():
        name = _SIMULATED.get(group, group)
        simulated[name] = simulated.get(name, 0) + size
    groups = (Difference(name, simulated.get(name, 0), estimated.get(name, 0)) for name in _ORDER)
    return Comparison(
        phase,
        tuple(group for group in groups if group.simulated or group.estimated),
        tuple(_phases(simulation, estimate)),
    )


def _by_group(estimate: Estimate) -> dict[str, int]:
    sums: dict[str, int] = {}
    for term in estimate.ledger.terms:
        if term.at_peak:
            name = _ESTIMATED.get(term.group, term.group)
            sums[name] = sums.get(name, 0) + term.bytes
    return sums


def _phases(simulation: Simulation, estimate: Estimate) -> list[Difference]:
    found = []
    for name, phase in simulation.phases.items():
        guess = next((peak for key, peak in estimate.phases.items() if key == name), None)
        if guess is not None:
            found += [
                Difference(f"{name}, peak", phase.peak, guess.peak),
                Difference(f"{name}, end", phase.end, guess.end),
            ]
    return found


def terms_of(estimate: Estimate, group: str) -> tuple[Term, ...]:
    """Return the ledger's terms at the peak that a group of the table stands for, the largest first."""
    terms = (
        term
        for term in estimate.ledger.terms
        if term.at_peak and _ESTIMATED.get(term.group, term.group) == group
    )
    return tuple(sorted(terms, key=lambda term: -term.bytes))


def tensors_of(simulation: Simulation, group: str) -> tuple[Tensors, ...]:
    """Return the simulated tensors at the peak that a group of the table stands for, the largest first."""
    return tuple(one for one in simulation.tensors if _SIMULATED.get(one.group, one.group) == group)
