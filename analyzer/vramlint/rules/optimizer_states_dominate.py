"""The optimizer's states are the largest part of a run that does not fit, or only just.

## What it does
Points to the optimizer where its states are the largest part of the worst moment and the run does not
fit the GPU, or uses more than nine tenths of it.

## Why is this bad?
AdamW keeps two numbers per trained parameter in the parameter's dtype: for float32 parameters 8 bytes
each, twice the weights. It is often the cheapest part to shrink: an 8-bit optimizer keeps a quarter.

## Example
```python
optimizer = torch.optim.AdamW(model.parameters(), lr=1e-5)
```

## Use instead
```python
optimizer = bitsandbytes.optim.AdamW8bit(model.parameters(), lr=1e-5)
```

## What it assumes
The states are on the GPU in full, as after the first step; sharding and offloading are counted where they
are read.

## Fix safety
The ways out are advice: another optimizer changes the training, if only a little.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from vramlint.rules.advice import SMALLER_STATES, offers
from vramlint.rules.finding import Finding
from vramlint.rules.places import bytes_at_peak, setting_span
from vramlint.units import gigabytes
from vramlint.wording import short_name

if TYPE_CHECKING:
    from collections.abc import Iterator

    from vramlint.memory.estimate import Estimate
    from vramlint.rules.finding import Severity
    from vramlint.rules.subject import Subject

NAME = "optimizer-states-dominate"

_NEARLY_FULL = 0.9
_BITS = {64: "fp64", 32: "fp32", 16: "16-bit", 8: "8-bit"}


def check(subject: Subject) -> Iterator[Finding]:
    """Yield a finding on the optimizer's line where its states are what fills the GPU."""
    if subject.estimate is None or not _is_tight(subject) or not _dominates(subject.estimate):
        return
    yield Finding(
        rule=NAME,
        severity=_severity(subject),
        confidence="high" if subject.fits == "no" else "medium",
        message=_message(subject, subject.estimate),
        span=setting_span(subject, "optimizer") or subject.run.span,
        fixes=offers(subject, SMALLER_STATES),
    )


def _severity(subject: Subject) -> Severity:
    return "warning" if subject.fits == "no" else "info"


def _is_tight(subject: Subject) -> bool:
    if subject.gpu is None or subject.estimate is None:
        return False
    room = subject.gpu.bytes - subject.reserve
    return subject.fits != "yes" or subject.estimate.device.expected > _NEARLY_FULL * room


def _dominates(estimate: Estimate) -> bool:
    sizes: dict[str, int] = {}
    for term in estimate.ledger.terms:
        if term.at_peak:
            sizes[term.group] = sizes.get(term.group, 0) + term.bytes
    return bool(sizes.get("optimizer")) and sizes["optimizer"] == max(sizes.values())


def _message(subject: Subject, estimate: Estimate) -> str:
    states = bytes_at_peak(subject, ("optimizer",))
    what = f"{_optimizer_name(subject)}{_dtype(estimate)} states: {gigabytes(states)}"
    gpu = subject.gpu
    if gpu is not None and states > gpu.bytes - subject.reserve:
        return f"{what}, exceeds the {short_name(gpu)}'s {gigabytes(gpu.bytes)} alone"
    return f"{what}, {states / estimate.allocated.expected:.0%} of the allocated peak"


def _optimizer_name(subject: Subject) -> str:
    spec = subject.plans[0].optimizer if subject.plans else None
    return spec.name.rsplit(".", 1)[-1] if spec is not None else "optimizer"


def _dtype(estimate: Estimate) -> str:
    """Name the states' dtype where they all have one."""
    terms = [term for term in estimate.ledger.terms if term.group == "optimizer" and term.at_peak]
    widths = {line.item_bits for term in terms for line in term.lines}
    return f" {_BITS[widths.pop()]}" if len(widths) == 1 and widths <= _BITS.keys() else ""
