"""A comment is addressed to vramlint, but says nothing that it understands.

## What it does
Reports a `# vramlint:` comment whose words are not `ignore[rule]` or `set key=value`.

## Why is this bad?
The comment is without effect, and nobody notices.

## Example
```python
loss.backward()  # vramlint: ignroe[out-of-memory]
```

## Use instead
```python
loss.backward()  # vramlint: ignore[out-of-memory]
```

## What it assumes
Every comment that begins with `vramlint:` is meant for this tool.

## Fix safety
There is no automatic fix.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from vramlint.rules.finding import Finding

if TYPE_CHECKING:
    from vramlint.source.spans import Span

NAME = "malformed-comment"


def finding(message: str, span: Span) -> Finding:
    """Return the finding for one comment."""
    return Finding(rule=NAME, severity="warning", confidence="high", message=message, span=span)
