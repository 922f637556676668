"""Attention is asked for in its eager form, which keeps the whole matrix of scores of every layer.

## What it does
Points to `attn_implementation="eager"` where the scaled-dot-product kernel needs less memory for the same training.

## Why is this bad?
Eager attention materializes batch × heads × length × length scores, in several copies that backward needs. The fused
kernels keep one number per row.

## Example
```python
model = AutoModelForCausalLM.from_pretrained("gpt2", attn_implementation="eager")
```

## Use instead
```python
model = AutoModelForCausalLM.from_pretrained("gpt2", attn_implementation="sdpa")
```

## What it assumes
Nobody reads the attention weights. Gemma 2 and 3 are left alone: their authors advise eager attention for training.

## Fix safety
Advice: kernels differ in rounding.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from vramlint.facts.setting import Known
from vramlint.rules.advice import offers
from vramlint.rules.finding import Finding
from vramlint.rules.places import setting_span
from vramlint.units import gigabytes

if TYPE_CHECKING:
    from collections.abc import Iterator

    from vramlint.rules.subject import Subject

NAME = "eager-attention"

_ADVISED = ("gemma-2", "gemma2", "gemma-3", "gemma3")
_DEFAULTS = {"framework-default", "assumed"}


def check(subject: Subject) -> Iterator[Finding]:
    """Yield an info on the argument, with what the fused kernel saves."""
    attention = subject.run.settings.get("attention")
    is_asked = isinstance(attention, Known) and attention.value == "eager"
    if not (isinstance(attention, Known) and is_asked) or attention.origin.kind in _DEFAULTS:
        return
    if not subject.plans or any(part in (subject.plans[0].model.id or "").lower() for part in _ADVISED):
        return
    fixes = offers(subject, ("sdpa-attention",), most=1)
    if fixes:
        yield Finding(
            rule=NAME,
            severity="info",
            confidence="high",
            message=f"eager attention keeps every layer's scores, {gigabytes(fixes[0].saving)} at the peak;"
            ' attn_implementation="sdpa" does not',
            span=setting_span(subject, "attention") or subject.run.span,
            fixes=fixes,
        )
