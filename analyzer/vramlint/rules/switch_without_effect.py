"""A switch is set that does nothing here, because another setting decides or what it belongs to is off.

## What it does
Points to arguments of a training that have no effect: options of gradient checkpointing that is not on, options of
4-bit weights that are not loaded in 4 bits, an `optim` beside an optimizer that is handed over, or beside one that a
DeepSpeed file makes.

## Why is this bad?
The author counts on memory that is not saved, or on an optimizer that does not run.

## Example
```python
args = TrainingArguments("out", gradient_checkpointing_kwargs={"use_reentrant": False})
```

## Use instead
```python
args = TrainingArguments("out", gradient_checkpointing=True, gradient_checkpointing_kwargs={"use_reentrant": False})
```

## What it assumes
What is written in the file or on the launch line; a switch that a branch sets is left alone.

## Fix safety
There is no automatic fix: whether the switch or what overrules it is meant, only the author knows.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from vramlint.rules.remarked import findings

if TYPE_CHECKING:
    from collections.abc import Iterator

    from vramlint.rules.finding import Finding
    from vramlint.rules.subject import Subject

NAME = "switch-without-effect"


def check(subject: Subject) -> Iterator[Finding]:
    """Yield an info on each switch that does nothing."""
    yield from findings(subject, NAME, "info")
