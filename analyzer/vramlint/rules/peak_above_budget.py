"""The allocated peak is larger than the budget that the project set.

## What it does
Compares the allocated peak (what `torch.cuda.max_memory_allocated` would say) with `max-peak`, whatever
the GPU.

## Why is this bad?
A team that shares GPUs, or a check in code review, wants to know when a change makes a training outgrow
what was agreed, before it outgrows the card.

## Example
```toml
[tool.vramlint]
max-peak = "40GB"
```

## Use instead
Shrink the run, or raise the budget in the same change so that a reviewer sees it.

## What it assumes
It is an error only where the low end of the estimate exceeds the budget, a warning where the expected
figure does. Without `max-peak` it is silent.

## Fix safety
It offers advice only.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from vramlint.rules.advice import offers
from vramlint.rules.finding import Finding
from vramlint.rules.places import causes
from vramlint.units import gigabytes

if TYPE_CHECKING:
    from collections.abc import Iterator

    from vramlint.rules.subject import Subject

NAME = "peak-above-budget"


def check(subject: Subject) -> Iterator[Finding]:
    """Yield a finding where the allocated peak exceeds the budget."""
    if subject.estimate is None or subject.budget is None:
        return
    allocated = subject.estimate.allocated
    if allocated.expected <= subject.budget:
        return
    surely = allocated.low > subject.budget
    yield Finding(
        rule=NAME,
        severity="error" if surely else "warning",
        confidence="high" if surely else "medium",
        message=(
            f"allocated peak {gigabytes(allocated.expected)} exceeds the budget of "
            f"{gigabytes(subject.budget)} "
            f"(max-peak; low end {gigabytes(allocated.low)})"
        ),
        span=subject.run.span,
        related=causes(subject),
        fixes=offers(subject),
    )
