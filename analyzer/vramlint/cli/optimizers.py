"""list the optimizers that are known, with the bytes that they keep for each parameter."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vramlint.cli.output import say, say_table
from vramlint.cli.usage import UsageError
from vramlint.knowledge.optimizer import Optimizer, Parameter, Variant
from vramlint.knowledge.optimizers import UnknownOptimizer, all_optimizers, find
from vramlint.render._page import clip

if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace

_WIDEST_STATES = 50
_SIDE = 4096
"""The figures are those of a square weight of this many rows, as layers of a 7 B model have."""


def add_arguments(parser: ArgumentParser) -> None:
    """Describe the command line of `vramlint optimizers`."""
    parser.add_argument(
        "pattern",
        metavar="PATTERN",
        nargs="?",
        default="",
        help="part of a name, or any name that TrainingArguments.optim takes",
    )


def run(arguments: Namespace) -> int:
    """Print a row for each optimizer whose name holds the pattern, or the one that the name means."""
    word = arguments.pattern.lower()
    found = [one for one in all_optimizers() if any(word in name.lower() for name in one.names)]
    if not found:
        found = [_by_any_name(arguments.pattern)]
    head = ("name", "B per fp32 parameter", "B per bf16 parameter", "states", "implementation")
    say_table(head, [_row(one) for one in found])
    say("\nBytes of optimizer states on the GPU, for a 4096 × 4096 weight with default arguments.")
    return 0


def _by_any_name(name: str) -> Optimizer:
    try:
        return find(name)
    except UnknownOptimizer as error:
        raise UsageError(str(error)) from None


def _row(optimizer: Optimizer) -> tuple[str, ...]:
    states = optimizer.states(_weight(32), Variant())
    names = ", ".join(dict.fromkeys(state.name for state in states)) or "none"
    figures = (f"{_per_parameter(optimizer, bits):.2f}" for bits in (32, 16))
    return (optimizer.names[0], *figures, clip(names, _WIDEST_STATES), optimizer.default)


def _per_parameter(optimizer: Optimizer, bits: int) -> float:
    weight = _weight(bits)
    kept = (state for state in optimizer.states(weight, Variant()) if state.where == "gpu")
    return sum(state.bytes for state in kept) / weight.elements


def _weight(bits: int) -> Parameter:
    return Parameter(shape=(_SIDE, _SIDE), bits=bits)
