"""The ledger: what is in memory at the worst moment, term by term.

A term's bytes and its formula are made from the same dimensions, so they cannot disagree.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import prod
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from vramlint.facts.setting import Origin

Group = Literal[
    "weights",
    "gradients",
    "optimizer",
    "activations",
    "loss",
    "temporaries",
    "inputs",
    "extra-models",
    "runtime",
]
Phase = Literal["load", "forward", "backward", "optimizer_step", "prefill", "decode", "rollout", "update"]


@dataclass(frozen=True, slots=True)
class Dimension:
    """One factor of a term: a letter of the scaling-book notation, or a plain number, and its size."""

    symbol: str
    size: int


@dataclass(frozen=True, slots=True)
class Line:
    """`count` equal tensors: the product of `dimensions` times `item_bits` per element, over `shards` GPUs."""

    dimensions: tuple[Dimension, ...]
    item_bits: int
    count: int = 1
    shards: int = 1

    @property
    def bytes(self) -> int:
        """Return the bytes of all `count` tensors on one GPU."""
        elements = prod(dimension.size for dimension in self.dimensions)
        return -(-elements * self.item_bits // (8 * self.shards)) * self.count

    @property
    def formula(self) -> str:
        """Return the same product as text, such as `32 × B·T·D × 2 B`."""
        symbols = "·".join(dimension.symbol for dimension in self.dimensions) or "1"
        size = f"{self.item_bits // 8} B" if self.item_bits % 8 == 0 else f"{self.item_bits} bit"
        count = f"{self.count} × " if self.count != 1 else ""
        shards = f" / {self.shards}" if self.shards != 1 else ""
        return f"{count}{symbols} × {size}{shards}"


@dataclass(frozen=True, slots=True)
class Term:
    """A named part of the memory: which tensors, in which phases they live, why, and what caused them."""

    name: str
    group: Group
    lines: tuple[Line, ...]
    phases: frozenset[Phase]
    at_peak: bool
    citation: str
    origins: tuple[Origin, ...] = ()

    @property
    def bytes(self) -> int:
        """Return the term's bytes: at the worst moment if it is alive there, else at its own largest."""
        return sum(line.bytes for line in self.lines)

    @property
    def formula(self) -> str:
        """Return the term's formula."""
        return " + ".join(line.formula for line in self.lines)


@dataclass(frozen=True, slots=True)
class Ledger:
    """All terms of one estimate; those with `at_peak` add up to the allocated peak exactly."""

    terms: tuple[Term, ...]

    @property
    def peak(self) -> int:
        """Return the bytes alive at the worst moment."""
        return sum(term.bytes for term in self.terms if term.at_peak)
