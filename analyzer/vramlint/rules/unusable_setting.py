"""A setting that was given by option or configuration cannot be laid over what the script says.

## What it does
Reports a file for which a `--set` or `set` table names a part of something that the script does not have.

## Why is this bad?
The file was not estimated: without the setting the figures would be those of another run than was asked for.

## Example
`--set optimizer.momentum=0.9` for a script whose optimizer is not known.

## Use instead
Give the whole: `--set optimizer=torch.optim.SGD --set optimizer.momentum=0.9`.

## What it assumes
Whoever gives a setting wants it in every file that is checked.

## Fix safety
There is no automatic fix.
"""

from __future__ import annotations

from vramlint.rules.finding import Finding
from vramlint.source.issue import at_top

NAME = "unusable-setting"


def finding(path: str, reason: str) -> Finding:
    """Return the finding for a file."""
    return Finding(rule=NAME, severity="error", confidence="high", message=reason, span=at_top(path))
