"""The names that dtypes have in arguments, as the plan writes them."""

from __future__ import annotations

from vramlint.facts.values import Symbol

DTYPES = {
    "float32": "float32",
    "float": "float32",
    "fp32": "float32",
    "bfloat16": "bfloat16",
    "bf16": "bfloat16",
    "float16": "float16",
    "half": "float16",
    "fp16": "float16",
    "float64": "float64",
    "double": "float64",
    "auto": "auto",
}


def short_dtype(value: object) -> str | None:
    """Return the plan's name of `torch.bfloat16`, "bf16" and their like, None for anything else."""
    name = value.name if isinstance(value, Symbol) else value
    return DTYPES.get(name.removeprefix("torch.")) if isinstance(name, str) else None
