"""A part of the file cannot be read as Python.

## What it does
Reports a file or a notebook cell that Python's own parser refuses. The other cells are read all the same.

## Why is this bad?
What stands in the broken part is missing from the estimate.

## Example
```python
model = AutoModelForCausalLM.from_pretrained("gpt2"
```

## Use instead
```python
model = AutoModelForCausalLM.from_pretrained("gpt2")
```

## What it assumes
The grammar of the Python that runs vramlint. Notebook magics and shell lines are no errors.

## Fix safety
There is no automatic fix.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from vramlint.rules.finding import Finding

if TYPE_CHECKING:
    from vramlint.source.spans import Span

NAME = "syntax-error"


def finding(message: str, span: Span) -> Finding:
    """Return the finding for one place that does not parse."""
    return Finding(rule=NAME, severity="error", confidence="high", message=message, span=span)
