"""The optimizer is one that vramlint does not know, so its states are a guess between none and three.

## What it does
Points to an optimizer whose name is in no list that vramlint has.

## Why is this bad?
The optimizer often decides the peak. The estimate takes two states per parameter, and its range runs from
none to three.

## Example
```python
optimizer = my_package.FancyAdam(model.parameters(), lr=1e-5)
```

## Use instead
Say which known optimizer keeps the same states: `# vramlint: set optimizer=torch.optim.AdamW`, or
`--set optimizer=torch.optim.SGD` for one that keeps nothing.

## What it assumes
The name is what the script says; a wrapper around a known optimizer is a name of its own.

## Fix safety
There is no automatic fix.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from vramlint.knowledge import optimizers
from vramlint.rules.finding import Finding
from vramlint.rules.places import setting_span

if TYPE_CHECKING:
    from collections.abc import Iterator

    from vramlint.rules.subject import Subject

NAME = "unknown-optimizer"

_TAKEN = "two states per parameter are taken, none to three are possible"


def check(subject: Subject) -> Iterator[Finding]:
    """Yield a warning where nobody knows what the optimizer keeps."""
    spec = subject.plans[0].optimizer if subject.plans else None
    if spec is None or spec.states is not None or _is_known(spec.name):
        return
    near = optimizers.nearest(spec.name)
    hint = f" (did you mean {near[0]}?)" if near else ""
    yield Finding(
        rule=NAME,
        severity="warning",
        confidence="high",
        message=f"unknown optimizer {spec.name}{hint}: {_TAKEN}",
        span=setting_span(subject, "optimizer") or subject.run.span,
    )


def _is_known(name: str) -> bool:
    try:
        optimizers.find(name)
    except optimizers.UnknownOptimizer:
        return False
    return True
