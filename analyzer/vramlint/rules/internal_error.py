"""vramlint itself failed on a file.

## What it does
Turns a crash inside the analyzer into a finding, so that one file never hides the others.

## Why is this bad?
The file was not checked. It is a bug in vramlint, never in the file.

## Example
Any file; the message names the exception and where it was raised.

## Use instead
Please report it, with the file or the part of it that you can share.

## What it assumes
Nothing.

## Fix safety
There is no automatic fix.
"""

from __future__ import annotations

from pathlib import PurePath
from traceback import extract_tb

from vramlint.rules.finding import Finding
from vramlint.source.spans import Position, Span

NAME = "internal-error"
ISSUES = "https://github.com/vramlint/vramlint/issues"


def finding(path: str, error: Exception) -> Finding:
    """Return the finding for a crash; it says where the analyzer failed and asks for a report."""
    frames = extract_tb(error.__traceback__)
    where = f" at {PurePath(frames[-1].filename).name}:{frames[-1].lineno}" if frames else ""
    text = str(error).splitlines()[0][:200] if str(error) else ""
    message = (
        f"vramlint failed on this file: {type(error).__name__}{': ' if text else ''}{text}{where}; "
        f"this is a bug in vramlint, please report it at {ISSUES}"
    )
    start = Span(path, Position(1, 0), Position(1, 0))
    return Finding(rule=NAME, severity="error", confidence="high", message=message, span=start)
