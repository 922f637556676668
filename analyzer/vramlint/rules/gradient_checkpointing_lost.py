"""Gradient checkpointing is asked for and does not take effect on the model that trains.

## What it does
Speaks where the call that switches checkpointing on is made on another model than the trained one, where checkpointing
is switched off again before the training, and where the reentrant kind runs over a frozen base whose inputs need no
gradient.

## Why is this bad?
The activations of every layer are kept, and the run needs several times the memory that was planned; or, in the last
case, the first backward ends in `element 0 of tensors does not require grad`.

## Example
```python
model = get_peft_model(model, LoraConfig())
args = TrainingArguments("out", gradient_checkpointing=True)  # reentrant before transformers 5
```

## Use instead
```python
args = TrainingArguments(
    "out", gradient_checkpointing=True, gradient_checkpointing_kwargs={"use_reentrant": False}
)
```
or call `model.enable_input_require_grads()` before `get_peft_model`.

## What it assumes
transformers' Trainer and PEFT; TRL's trainers and `prepare_model_for_kbit_training` see to the inputs themselves.

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

NAME = "gradient-checkpointing-lost"


def check(subject: Subject) -> Iterator[Finding]:
    """Yield an info on the switch that is lost."""
    yield from findings(subject, NAME, "info")
