"""Two places of equal standing give one setting different values.

## What it does
Names both places where, for one, a trainer's arguments and a DeepSpeed file disagree on the micro batch, the
accumulation or the precision.

## Why is this bad?
One of them does not hold. transformers refuses to start when a DeepSpeed file contradicts the arguments; elsewhere the
one that wins may not be the one that was meant. The estimate takes both as possible.

## Example
`TrainingArguments(per_device_train_batch_size=8, deepspeed="ds.json")` with
`"train_micro_batch_size_per_gpu": 4` in the file.

## Use instead
Write `"auto"` in the DeepSpeed file, and the arguments fill it in.

## What it assumes
Values that are known on both sides and stand equally: a launch line wins over code and is no conflict.

## Fix safety
There is no automatic fix.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from vramlint.facts.setting import Known, OneOf
from vramlint.rules.finding import Finding, Related

if TYPE_CHECKING:
    from collections.abc import Iterator

    from vramlint.facts.setting import Setting
    from vramlint.rules.subject import Subject

NAME = "conflicting-settings"

_COMPARED = (
    "micro_batch_size",
    "gradient_accumulation_steps",
    "mixed_precision",
    "optimizer",
    "sequence_length",
)


def check(subject: Subject) -> Iterator[Finding]:
    """Yield an info on the first of two places that disagree."""
    for name in _COMPARED:
        setting = subject.run.settings.get(name)
        if isinstance(setting, OneOf) and setting.reason.endswith(" disagree"):
            yield _finding(subject, name, setting.alternatives)


def _finding(subject: Subject, name: str, rivals: tuple[Known[Any], ...]) -> Finding:
    said = " and ".join(f"{_shown(one)} ({one.origin.detail})" for one in rivals)
    places = [one.origin.span for one in rivals if one.origin.span is not None]
    related = [
        Related(one.origin.span, one.origin.detail) for one in rivals[1:] if one.origin.span is not None
    ]
    return Finding(
        rule=NAME,
        severity="info",
        confidence="medium",
        message=f"{name.replace('_', ' ')} is given twice: {said}",
        span=places[0] if places else subject.run.span,
        related=tuple(related),
    )


def _shown(setting: Setting[Any]) -> str:
    value = setting.value if isinstance(setting, Known) else None
    return str(value.get("name", value)) if isinstance(value, dict) else str(value)
