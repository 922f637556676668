"""The training needs more memory than the GPU has.

## What it does
Compares the memory that the run needs on the device (what `nvidia-smi` would show: torch's allocator,
the CUDA context, and what lives outside torch's allocator) with the real total of the GPU, less what
the setting `reserve` keeps free.

## Why is this bad?
The run stops with `torch.OutOfMemoryError`, often only at the first optimizer step, after the model was
downloaded and the data prepared.

## Example
```python
model = AutoModelForCausalLM.from_pretrained("meta-llama/Llama-2-7b-hf")  # 27.0 GB of float32 weights
trainer = Trainer(model=model, args=TrainingArguments("out"), train_dataset=data)
trainer.train()  # on an RTX 4090
```

## Use instead
Smaller states (8-bit AdamW), LoRA, gradient checkpointing, a smaller micro batch with more accumulation
steps, or a larger GPU. The finding lists what helps this run and how much.

## What it assumes
Nothing else uses the GPU; `reserve` says otherwise. It is an error only where the low end of the estimate
exceeds the GPU. Where only the high end does, it is a warning that names what decides.

## Fix safety
The ways out are advice: they change the training, so none is applied on its own.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from vramlint.memory.failure import first_failure
from vramlint.rules.advice import estimate_of, offers
from vramlint.rules.finding import Finding
from vramlint.rules.places import causes
from vramlint.rules.subject import fits
from vramlint.units import gigabytes
from vramlint.wording import moment, short_name

if TYPE_CHECKING:
    from collections.abc import Iterator

    from vramlint.knowledge.gpu import Gpu
    from vramlint.memory.estimate import Estimate
    from vramlint.plan.document import Plan
    from vramlint.rules.subject import Subject

NAME = "out-of-memory"


def check(subject: Subject) -> Iterator[Finding]:
    """Yield an error where the low end exceeds the GPU, a warning where only the high end does."""
    if subject.estimate is None or subject.gpu is None or subject.fits not in {"no", "maybe"}:
        return
    surely = subject.fits == "no"
    message = _exceeds if surely else _may_exceed
    yield Finding(
        rule=NAME,
        severity="error" if surely else "warning",
        confidence="high" if surely else "medium",
        message=message(subject, subject.estimate, subject.gpu),
        span=subject.run.span,
        related=causes(subject),
        fixes=offers(subject),
    )


def _exceeds(subject: Subject, estimate: Estimate, gpu: Gpu) -> str:
    return (
        f"peak {gigabytes(estimate.device.expected)} {moment(estimate.phase)} exceeds {_room(subject, gpu)} "
        f"(device memory, low end {gigabytes(estimate.device.low)}){_where_it_stops(subject, estimate, gpu)}"
    )


def _where_it_stops(subject: Subject, estimate: Estimate, gpu: Gpu) -> str:
    """Say when the run would die, which is often before its worst moment."""
    failure = first_failure(estimate, gpu.bytes - subject.reserve)
    if failure is None:
        return ""
    step = f" of step {failure.step}" if failure.step else ""
    return f"; it stops {moment(failure.phase)}{step}, with about {gigabytes(failure.allocated)} allocated"


def _may_exceed(subject: Subject, estimate: Estimate, gpu: Gpu) -> str:
    return (
        f"peak may reach {gigabytes(estimate.device.high)} {moment(estimate.phase)}, more than "
        f"{_room(subject, gpu)} (device memory, expected {gigabytes(estimate.device.expected)}); "
        f"{_what_decides(subject)}"
    )


def _room(subject: Subject, gpu: Gpu) -> str:
    kept = f" less {gigabytes(subject.reserve)} kept free" if subject.reserve else ""
    return f"the {short_name(gpu)}'s {gigabytes(gpu.bytes)}{kept}"


def _what_decides(subject: Subject) -> str:
    names = _deciding(subject)
    if not names:
        return "the allocator's fragmentation and the libraries' own memory decide"
    return f"what decides: {', '.join(names)} (settle it with --set)"


def _deciding(subject: Subject) -> tuple[str, ...]:
    """Return the open settings that turn the verdict of the expected plan."""
    if not subject.deciding:
        return ()
    expected = _fits_as(subject, subject.plans[0])
    other = (
        names for at, names in subject.deciding.items() if _fits_as(subject, subject.plans[at]) != expected
    )
    return tuple(dict.fromkeys(name for names in other for name in names))


def _fits_as(subject: Subject, plan: Plan) -> bool:
    after = estimate_of(plan, subject)
    return after is not None and fits(after, subject.gpu, subject.reserve) == "yes"
