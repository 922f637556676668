"""Texts are padded to one length, so attention gets a mask and cannot use the kernel that needs least.

## What it does
Points to `padding="max_length"` in the preparation of a language model's training texts, where the mask costs memory
at the peak.

## Why is this bad?
PyTorch's flash kernel takes no mask. With one, another kernel runs, the mask is made for every row, and under grouped
queries keys and values are repeated for all heads. Besides, the padding is computed like text.

## Example
```python
tokenizer(texts, truncation=True, max_length=1024, padding="max_length")
```

## Use instead
```python
tokenizer(texts, truncation=True, max_length=1024)
```
and group the texts to full blocks, or let the collator pad each batch to its own longest text.

## What it assumes
Scaled-dot-product attention of transformers, and rows that are not all of full length: a mask of ones is dropped.

## Fix safety
Advice: other blocks change what a batch holds.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from vramlint.rules.finding import Finding
from vramlint.units import gigabytes

if TYPE_CHECKING:
    from collections.abc import Iterator

    from vramlint.plan.document import Plan
    from vramlint.rules.subject import Subject

NAME = "padding-mask-disables-flash"

_WORTH_SAYING = 0.02  # of the peak


def check(subject: Subject) -> Iterator[Finding]:
    """Yield a hint on the padding, with what its mask adds at the peak."""
    seen = next((remark for remark in subject.run.remarks if remark.rule == NAME), None)
    if seen is None or subject.estimate is None or not _is_masked_there(subject.plans[0]):
        return
    before = subject.estimate.allocated.expected
    added = _peak_with_mask(subject) - before
    if added >= _WORTH_SAYING * before:
        message = (
            f"{seen.message} makes a mask, with which attention takes {gigabytes(added)} more at the peak"
        )
        yield Finding(NAME, "hint", "medium", message, seen.span)


def _is_masked_there(plan: Plan) -> bool:
    return plan.attention == "sdpa" and plan.task == "causal-lm" and (plan.micro_batch_size or 1) > 1


def _peak_with_mask(subject: Subject) -> int:
    """Return the allocated peak of the likeliest plan with a padding mask, 0 where there is no answer."""
    from vramlint.memory.engine import CannotEstimate, sketch  # noqa: PLC0415  few runs are padded

    plan = subject.plans[0]
    masked = plan.model_copy(update={"loop": plan.loop.model_copy(update={"padding_mask": True})})
    try:
        return sketch(masked, subject.gpu).peak
    except CannotEstimate:
        return 0
