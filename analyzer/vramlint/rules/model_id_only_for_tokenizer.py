"""A name that says it is the model goes to the tokenizer only; the model that trains comes from elsewhere.

## What it does
Points to a constant or a flag called like a model of which only tokenizers and processors are made, where the trained
model is loaded by another name.

## Why is this bad?
Whoever changes that name, in the file or on the launch line, changes the tokenizer and trains the same model as
before, perhaps one of another size, with token ids that it does not know.

## Example
```python
model_name = "Qwen/Qwen2.5-0.5B"
tokenizer = AutoTokenizer.from_pretrained(model_name)
model = AutoModelForCausalLM.from_pretrained("Qwen/Qwen2.5-7B")
```

## Use instead
```python
model = AutoModelForCausalLM.from_pretrained(model_name)
```

## What it assumes
The name is not used in any other way in the file. One that says it is the tokenizer's is left alone, and so is a
tokenizer of the same repository as the model.

## Fix safety
There is no automatic fix: which of the two names is meant, only the author knows.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from vramlint.rules.remarked import findings

if TYPE_CHECKING:
    from collections.abc import Iterator

    from vramlint.rules.finding import Finding
    from vramlint.rules.subject import Subject

NAME = "model-id-only-for-tokenizer"


def check(subject: Subject) -> Iterator[Finding]:
    """Yield an info on the name that only the tokenizer gets."""
    yield from findings(subject, NAME, "info", "medium")
