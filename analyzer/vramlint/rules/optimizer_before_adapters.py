"""The optimizer is made before the adapters are added, so it does not have their parameters.

## What it does
Points to an optimizer that gets `model.parameters()` in a line above the `get_peft_model` of the same model.

## Why is this bad?
The optimizer holds the base model's parameters, which PEFT freezes, and not those of the adapters: nothing is trained.
Its states, if the base were not frozen, would be those of full fine-tuning.

## Example
```python
optimizer = torch.optim.AdamW(model.parameters(), lr=1e-4)
model = get_peft_model(model, LoraConfig())
```

## Use instead
```python
model = get_peft_model(model, LoraConfig())
optimizer = torch.optim.AdamW(model.parameters(), lr=1e-4)
```

## What it assumes
Both lines run once, in the order of the text.

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

NAME = "optimizer-before-adapters"


def check(subject: Subject) -> Iterator[Finding]:
    """Yield an info on the optimizer that is made too early."""
    yield from findings(subject, NAME, "info")
