"""The batch size that stands in the script is not the one that runs: every launch line found replaces it.

## What it does
Points to the default of the batch size where all launch lines near the script, in shell scripts, a README, a Makefile
or the docstring, give one that is more than four times as large or as small.

## Why is this bad?
Whoever reads the script, or changes the number in it, reasons about a run that nobody starts.

## Example
`parser.add_argument("--batch_size", type=int, default=32)`, started by `python train.py --batch_size 4`.

## Use instead
Change the number on the launch line, or make the default the value that is used.

## What it assumes
The launch lines near the script are those that are used.

## Fix safety
There is no automatic fix.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from vramlint.rules.remarked import findings

if TYPE_CHECKING:
    from collections.abc import Iterator

    from vramlint.rules.finding import Finding
    from vramlint.rules.subject import Subject

NAME = "overridden-batch-size"


def check(subject: Subject) -> Iterator[Finding]:
    """Yield a hint on the default that no launch line leaves."""
    yield from findings(subject, NAME, "hint")
