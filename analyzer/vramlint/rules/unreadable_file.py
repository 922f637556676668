"""A file cannot be read: it is binary, too large, not UTF-8, or a notebook that is no JSON.

## What it does
Reports a file that was asked for, or found in a folder, and that holds no text that can be analyzed.

## Why is this bad?
Nothing in the file was checked, so its silence means nothing.

## Example
A pickled checkpoint named `train.py`.

## Use instead
Name the scripts, or leave such files out with `.gitignore`.

## What it assumes
Source is UTF-8, or says its encoding in the first two lines as Python allows.

## Fix safety
There is no automatic fix.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from vramlint.rules.finding import Finding

if TYPE_CHECKING:
    from vramlint.source.spans import Span

NAME = "unreadable-file"


def finding(message: str, span: Span) -> Finding:
    """Return the finding for a file, or a part of it, that could not be read."""
    return Finding(rule=NAME, severity="warning", confidence="high", message=message, span=span)
