"""A model that is only read, a reference, a teacher or a reward model, stands in memory in float32.

## What it does
Points to further models that the script loads in float32 beside the trained one, and says what bfloat16 saves.

## Why is this bad?
Such a model has no gradients and no optimizer states; nothing accumulates in its weights, so float32 doubles what they
take and the trained model does not become better.

## Example
```python
ref_model = AutoModelForCausalLM.from_pretrained(name, torch_dtype=torch.float32)
trainer = DPOTrainer(model, ref_model, args=args, train_dataset=data)
```

## Use instead
```python
ref_model = AutoModelForCausalLM.from_pretrained(name, torch_dtype=torch.bfloat16)
```
or, in TRL, `precompute_ref_log_probs=True`, or adapters, with which the base model is the reference.

## What it assumes
The copies of an average of weights (EMA) are left alone: they need their float32.

## Fix safety
Advice: log probabilities of the reference change in the third digit.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from vramlint.rules.advice import offers
from vramlint.rules.finding import Finding
from vramlint.rules.places import setting_span
from vramlint.units import gigabytes

if TYPE_CHECKING:
    from collections.abc import Iterator

    from vramlint.plan.document import ExtraModel, Plan
    from vramlint.rules.subject import Subject

NAME = "float32-reference"

# Tools that have rules of their own for how such a model is loaded.
_RECIPES = {"llamafactory", "axolotl"}
_READ_ONLY = {"reference", "teacher", "reward", "judge"}


def check(subject: Subject) -> Iterator[Finding]:
    """Yield an info on the further model, with what half of its bytes are at the peak."""
    if not subject.plans or _RECIPES & set(subject.run.frameworks):
        return
    if not any(_is_wide(subject.plans[0], one) for one in subject.plans[0].extra_models):
        return
    fixes = offers(subject, ("half-precision-reference",), most=1)
    if not fixes:
        return
    roles = [one.role for one in subject.plans[0].extra_models if _is_wide(subject.plans[0], one)]
    yield Finding(
        rule=NAME,
        severity="info",
        confidence="medium",
        message=f"the {roles[0]} model is in float32 and only read: bfloat16 saves {gigabytes(fixes[0].saving)}"
        " at the peak",
        span=setting_span(subject, "extra_models") or subject.run.span,
        fixes=fixes,
    )


def _is_wide(plan: Plan, extra: ExtraModel) -> bool:
    dtype = extra.param_dtype or plan.param_dtype
    return extra.role in _READ_ONLY and extra.device == "cuda" and dtype == "float32"
