"""A 16-bit checkpoint is loaded in float32 because no dtype is asked for, and the base is frozen.

## What it does
Speaks where `from_pretrained` is called without a dtype under transformers before 5, the checkpoint is stored in 16
bits, and adapters are trained on it; for full fine-tuning only where it does not fit.

## Why is this bad?
Until transformers 5.0 a model is loaded in float32 unless a dtype is given, whatever the checkpoint is stored in. A
frozen base gains nothing from that and takes twice the memory.

## Example
```python
model = AutoModelForCausalLM.from_pretrained("meta-llama/Llama-3.1-8B")
```

## Use instead
```python
model = AutoModelForCausalLM.from_pretrained("meta-llama/Llama-3.1-8B", torch_dtype=torch.bfloat16)
```

## What it assumes
The version of transformers that the project pins or names. Adapters stay in float32, as PEFT makes them. Full
fine-tuning in bfloat16 keeps no float32 copy of the weights, which changes the training; that is why it is only named
as a way out.

## Fix safety
Advice: the saving is what the engine says of the changed plan.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from vramlint.facts.setting import Known
from vramlint.knowledge import models
from vramlint.rules.advice import offers
from vramlint.rules.finding import Finding
from vramlint.rules.places import setting_span
from vramlint.units import gigabytes

if TYPE_CHECKING:
    from collections.abc import Iterator

    from vramlint.rules.subject import Subject

NAME = "loads-in-float32"

_HALVES = {"bfloat16", "float16"}


def check(subject: Subject) -> Iterator[Finding]:
    """Yield an info on the model's line, with what the checkpoint's own dtype saves."""
    stored = _stored(subject)
    if stored is None or not _is_by_default(subject) or not _is_worth_it(subject):
        return
    fixes = offers(subject, ("half-precision-weights",), most=1)
    if not fixes:
        return
    yield Finding(
        rule=NAME,
        severity="info",
        confidence="high",
        message=f"the checkpoint is stored in {stored} and loaded in float32, which takes {gigabytes(fixes[0].saving)}"
        " more at the peak; give torch_dtype",
        span=setting_span(subject, "model") or subject.run.span,
        fixes=fixes,
    )


def _is_by_default(subject: Subject) -> bool:
    """Return whether float32 is nothing but what `from_pretrained` does by itself."""
    dtype = subject.run.settings.get("param_dtype")
    return (
        isinstance(dtype, Known)
        and dtype.value == "float32"
        and dtype.origin.kind == "framework-default"
        and dtype.origin.detail.startswith("from_pretrained.dtype")
    )


def _stored(subject: Subject) -> str | None:
    model = subject.plans[0].model.id if subject.plans else None
    record = models.find(model) if model else None
    dtype = record.checkpoint_dtype if record is not None else None
    return dtype if dtype in _HALVES else None


def _is_worth_it(subject: Subject) -> bool:
    plan = subject.plans[0]
    sharding = plan.sharding.kind if plan.sharding is not None else "none"
    if plan.quantization is not None or sharding.startswith(("zero", "fsdp")):
        return False
    return plan.lora is not None or subject.fits in {"no", "maybe"}
