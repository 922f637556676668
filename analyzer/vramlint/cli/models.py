"""list the models whose architecture is known, or tell what is known of one."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vramlint.cli.output import say, say_table
from vramlint.cli.usage import UsageError
from vramlint.knowledge import models
from vramlint.settings import did_you_mean
from vramlint.units import count, gigabytes

if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace

    from vramlint.knowledge.models import ModelRecord

_BYTES = {"float32": 4, "bfloat16": 2, "float16": 2}


def add_arguments(parser: ArgumentParser) -> None:
    """Describe the command line of `vramlint models`."""
    parser.add_argument(
        "pattern", metavar="PATTERN", nargs="?", default="", help="part of an id, or a whole id"
    )


def run(arguments: Namespace) -> int:
    """Print a row for each model whose id holds the pattern; a page where it is one model's id."""
    word = arguments.pattern.lower()
    found = [record for record in models.all_records() if word in record.id.lower()]
    exact = models.find(arguments.pattern) if word else None
    if exact is not None and (len(found) <= 1 or "/" in word):
        return _page(arguments.pattern, exact)
    if not found:
        hint = did_you_mean(arguments.pattern, models.nearest(arguments.pattern))
        raise UsageError(f"no model is called {arguments.pattern!r}{hint}")
    say_table(("id", "parameters", "type", "checkpoint"), [_row(record) for record in found])
    return 0


def _row(record: ModelRecord) -> tuple[str, ...]:
    return (record.id, count(record.parameters), record.model_type, record.checkpoint_dtype or "unknown")


def _page(name: str, record: ModelRecord) -> int:
    say(f"{record.id}  ({record.architecture}, {record.model_type})")
    if record.same_shape_only:
        say(f"  {name} has the shape of this model")
    say(f"  {record.parameters:,} parameters")
    for dtype, size in _BYTES.items():
        say(f"  {gigabytes(record.parameters * size):>9} of weights in {dtype}")
    stored = record.checkpoint_dtype or "unknown"
    say(f"  stored in {stored}{'' if record.dtype_certain else ' (not certain)'}")
    for key, value in sorted(record.config.items()):
        if isinstance(value, int | float | str):
            say(f"  {key} = {value}")
    say(f"  source: {record.source}; shape from {record.shape_known_from}; count: {record.count_checked}")
    return 0
